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
  let fitting = [];

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
    fitting = shots
      .filter((shot) => !wanted || shot.classes.includes(wanted))
      .sort(compare);
    const opacity = values.get("opacity") / 100;
    for (const element of [list, document.getElementById("large")]) {
      element.style.setProperty("--opacity", opacity);
    }
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

  // One picture large: a slider uncovers the picture below a mask or map.
  const dialog = document.getElementById("large");
  const wipe = document.getElementById("wipe");
  const form = dialog.querySelector("form");
  const [picture, under, layer] = [new Image(), new Image(), new Image()];
  let open = 0;

  function setWipe(value) {
    form.elements.wipe.value = value;
    wipe.style.setProperty("--wipe", `${form.elements.wipe.value}%`);
  }

  function showLayer() {
    const stacks = [...fitting[open].element.querySelectorAll(".stack.over")];
    const stack = stacks[form.elements.layer.selectedIndex];
    const image = stack.querySelector("img:not(.under):not([hidden])");
    layer.src = image.src;
    layer.alt = image.alt;
    layer.className = image.className;
    document.getElementById("large-layer").textContent = headingOf(stack);
  }

  const headingOf = (stack) =>
    stack.closest("figure").querySelector("figcaption").textContent;

  function openLarge(index) {
    open = (index + fitting.length) % fitting.length;
    const { element, name } = fitting[open];
    complete(element);
    const from = element.querySelector("img.picture");
    picture.src = under.src = from.src;
    picture.alt = from.alt;
    under.alt = "";
    for (const attribute of ["width", "height"]) {
      for (const image of [picture, under, layer]) {
        image.setAttribute(attribute, from.getAttribute(attribute));
      }
    }
    wipe.style.setProperty(
      "--ratio", from.getAttribute("width") / from.getAttribute("height"));
    document.getElementById("large-name").textContent = name;
    const score = element.querySelector(".score > :not([hidden])");
    document.getElementById("large-score").textContent =
      score ? score.textContent : "";
    document.getElementById("large-names").replaceChildren(
      ...[...element.querySelectorAll("header > .names:not([hidden])")]
        .map((names) => names.cloneNode(true)));
    const before = form.elements.layer.selectedIndex;
    form.elements.layer.replaceChildren(
      ...[...element.querySelectorAll(".stack.over")].map((stack) =>
        new Option(headingOf(stack), headingOf(stack))));
    // By place: of compared runs, headings hold the picture's scores.
    const last = form.elements.layer.length - 1;
    form.elements.layer.selectedIndex = Math.min(Math.max(before, 0), last);
    showLayer();
    wipe.prepend(picture);
    wipe.lastElementChild.append(under, layer);
    if (!dialog.open) {
      dialog.showModal();
      form.elements.wipe.focus();
    }
  }

  function follow(event) {
    if (event.type === "pointermove" && !event.buttons) return;
    const box = wipe.getBoundingClientRect();
    setWipe(Math.round(100 * (event.clientX - box.left) / box.width));
  }

  if (dialog.showModal) {
    for (const button of list.querySelectorAll("button.open")) {
      button.hidden = false;
    }
    list.addEventListener("click", (event) => {
      if (!event.target.closest("button.open, .stack")) return;
      const article = event.target.closest("article");
      openLarge(fitting.findIndex((shot) => shot.element === article));
    });
    for (const kind of ["pointerdown", "pointermove"]) {
      wipe.addEventListener(kind, follow);
    }
    wipe.addEventListener("dragstart", (event) => event.preventDefault());
    form.addEventListener("input", (event) => {
      if (event.target.name === "wipe") setWipe(event.target.value);
      else showLayer();
    });
    form.addEventListener("submit", (event) => event.preventDefault());
    for (const [id, step] of [["large-before", -1], ["large-after", 1]]) {
      document.getElementById(id)
        .addEventListener("click", () => openLarge(open + step));
    }
    document.getElementById("large-close")
      .addEventListener("click", () => dialog.close());
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
