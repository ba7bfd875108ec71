// Switch, filter and order of the pictures in report.html.
(() => {
  "use strict";
  const PAGE = 12;
  const tools = document.querySelector("form.tools");
  if (!tools) return;
  const list = document.getElementById("shots");
  const status = document.getElementById("status");
  const more = document.getElementById("more");
  const shots = [...list.children].map((element) => ({
    element,
    name: element.dataset.name,
    classes: element.dataset.classes.split(" "),
    scores: JSON.parse(element.dataset.scores),
  }));
  let shown = PAGE;

  // Panels but the first show a layer over the same picture: the file holds
  // the picture once, and it is copied when its row is first seen.
  function complete(element) {
    if (element.dataset.complete) return;
    element.dataset.complete = "yes";
    const picture = element.querySelector("img.picture");
    for (const stack of element.querySelectorAll(".stack.over")) {
      const copy = picture.cloneNode();
      copy.alt = "";
      copy.className = "under";
      stack.prepend(copy);
    }
  }

  function update() {
    const values = new FormData(tools);
    const key = [values.get("tags"), values.get("inference")]
      .filter(Boolean).join(" ");
    const wanted = values.get("class");
    const order = values.get("order");
    const sign = order === "best" ? -1 : 1;
    const score = (shot) => shot.scores[key] ?? 0;
    const compare = order === "name"
      ? (a, b) => (a.name < b.name ? -1 : 1)
      : (a, b) => sign * (score(a) - score(b));
    const fitting = shots
      .filter((shot) => !wanted || shot.classes.includes(wanted))
      .sort(compare);
    list.style.setProperty("--opacity", values.get("opacity") / 100);
    const visible = new Set(fitting.slice(0, shown));
    for (const shot of fitting) list.append(shot.element);
    for (const shot of shots) {
      shot.element.hidden = !visible.has(shot);
      if (!visible.has(shot)) continue;
      complete(shot.element);
      for (const layer of shot.element.querySelectorAll("[data-layer]")) {
        layer.hidden = layer.dataset.layer !== key;
      }
    }
    status.textContent =
      `${visible.size} of ${fitting.length} pictures are shown.`;
    more.hidden = visible.size === fitting.length;
  }

  tools.addEventListener("input", (event) => {
    if (event.target.name !== "opacity") shown = PAGE;
    update();
  });
  tools.addEventListener("submit", (event) => event.preventDefault());
  more.addEventListener("click", () => { shown += PAGE; update(); });
  tools.hidden = false;
  update();
})();
