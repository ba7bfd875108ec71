// Tags of suggestions.html: switched, undone, kept and given back.
(() => {
  "use strict";
  const data = JSON.parse(document.getElementById("data").textContent);
  const $ = (id) => document.getElementById(id);
  const cards = data.cards;
  const HISTORY = 500;
  const YES = "yes", NO = "no", MAYBE = "maybe";

  // What a card says as long as nobody changed it.
  const begun = cards.map((card) => ({
    tags: card.tags, unknown: card.unknown, checked: false,
  }));
  let state = { at: 0, cards: {}, history: [], turn: 0 };
  // After about one reload of a hundred Chromium gives a page from a file an
  // empty storage of its own, and what is changed there is lost with it. So
  // the tab keeps the state too; the later of both counts.
  for (const keeper of [() => localStorage.getItem(data.key), inTab]) {
    try {
      const kept = JSON.parse(keeper());
      const isUsable = kept && kept.cards && kept.at < cards.length;
      if (isUsable && (kept.turn ?? 0) >= state.turn)
        state = { ...kept, turn: kept.turn ?? 0 };
    } catch { warn(); }
  }

  function inTab() {
    return history.state?.[data.key] ?? null;
  }

  function keep() {
    state.turn += 1;
    const text = JSON.stringify(state);
    try {
      // Some browsers allow a hundred of these in half a minute.
      history.replaceState({ [data.key]: text }, "");
    } catch { /* the storage below has it */ }
    try {
      localStorage.setItem(data.key, text);
    } catch { warn(); }
  }

  function warn() {
    $("notice").textContent = "This browser keeps nothing of this page: take "
      + "tags.csv out before you close it.";
    $("notice").hidden = false;
  }

  const card = (at) => state.cards[at] ?? begun[at];
  const valueOf = (now, id) => now.tags.includes(id) ? YES
    : now.unknown.includes(id) ? MAYBE : NO;
  const sorted = (ids) => [...ids].sort((a, b) => a - b);
  const same = (a, b) => String(a) === String(b);
  const isChanged = (at) => !same(card(at).tags, begun[at].tags)
    || !same(card(at).unknown, begun[at].unknown);

  // Every change goes through here, so that all can be undone.
  function change(at, to, text) {
    state.history.push({ at, before: state.cards[at] ?? null });
    state.history.splice(0, state.history.length - HISTORY);
    state.cards[at] = to;
    keep();
    if (text) say(text);
  }

  function setTag(id, value) {
    const at = state.at, now = card(at);
    const without = (ids) => ids.filter((other) => other !== id);
    const tags = without(now.tags), unknown = without(now.unknown);
    if (value === YES) tags.push(id);
    if (value === MAYBE) unknown.push(id);
    const words = { yes: "is there", no: "is not there", maybe: "not sure" };
    change(at, { ...now, tags: sorted(tags), unknown: sorted(unknown) },
      `${data.names[id]}: ${words[value]}.`);
    draw();
  }

  const flip = (id) =>
    setTag(id, valueOf(card(state.at), id) === YES ? NO : YES);
  const doubt = (id) =>
    setTag(id, valueOf(card(state.at), id) === MAYBE ? NO : MAYBE);

  function go(at) {
    if (at < 0 || at >= cards.length) return;
    state.at = at;
    keep();
    show();
    say(describe());
  }

  function next() {
    const at = state.at;
    if (!card(at).checked) change(at, { ...card(at), checked: true }, "");
    if (at + 1 < cards.length) return go(at + 1);
    show();
    const left = cards.findIndex((_, i) => !card(i).checked);
    say(left < 0 ? "All pictures are checked. Take tags.csv out."
      : `That was the last one; picture ${left + 1} is not checked yet.`);
  }

  function undo() {
    const last = state.history.pop();
    if (!last) return;
    if (last.before) state.cards[last.at] = last.before;
    else delete state.cards[last.at];
    state.at = last.at;
    keep();
    show();
    say(`Undone. ${describe()}`);
  }

  function none() {
    change(state.at, { ...card(state.at), tags: [], unknown: [] },
      "None of them is there.");
    draw();
  }

  const say = (text) => { $("live").textContent = text; };
  const listed = (ids) => ids.map((id) => data.names[id]).join(", ");
  function describe() {
    const now = card(state.at);
    const parts = [`Picture ${state.at + 1} of ${cards.length}.`,
      `Tags: ${listed(now.tags) || "none"}.`];
    if (now.unknown.length) parts.push(`Not sure: ${listed(now.unknown)}.`);
    return parts.concat(cards[state.at].reasons).join(" ");
  }

  // With few categories each keeps its place and key; else what is likely
  // comes first.
  const orders = cards.map((card) => {
    if (data.fixed) return data.ids;
    const near = (id) => (card.tags.includes(id) ? 4 : 0)
      + (card.predicted.includes(id) ? 2 : 0)
      + (card.unknown.includes(id) ? 1 : 0) + card.scores[id];
    return [...data.ids].sort((a, b) => near(b) - near(a));
  });
  const KEYS = 9;

  function element(kind, values, ...children) {
    const made = Object.assign(document.createElement(kind), values);
    made.append(...children);
    return made;
  }

  function chip(id, index) {
    const one = cards[state.at], key = index < KEYS ? index + 1 : "";
    const note = element("span", { className: "note" });
    const given = one.tags.includes(id) ? "given"
      : one.unknown.includes(id) ? "unknown" : "";
    if (data.given && given) {
      note.append(element("span", { className: "given" }, given), " · ");
    }
    note.append(element("span", { className: "by" }, "tagger "),
      `${Math.round(100 * one.scores[id])} %`);
    const tag = element("button", { type: "button", className: "tag" });
    if (key) {
      tag.append(element("kbd", { ariaHidden: "true" }, `${key}`));
      tag.setAttribute("aria-keyshortcuts", key);
    } else tag.append(element("span", {}));
    tag.append(
      element("i", { className: `box c${id}`, ariaHidden: "true" }),
      element("span", { className: "what" }, data.names[id]), note);
    tag.setAttribute("role", "checkbox");
    tag.addEventListener("click", () => flip(id));
    const unsure = element("button",
      { type: "button", className: "doubt", title: "not sure" }, "?");
    unsure.setAttribute("aria-label", `Not sure of ${data.names[id]}`);
    unsure.addEventListener("click", () => doubt(id));
    const made = element("div", { className: "chip" }, tag, unsure);
    made.dataset.id = id;
    made.addEventListener("pointerenter", (event) => {
      if (event.pointerType === "mouse") peek(id);
    });
    made.addEventListener("pointerleave", () => peek(null));
    return made;
  }

  function peek(id) {
    for (const layer of $("stack").querySelectorAll(".layer")) {
      layer.classList.toggle("peek", layer.dataset.id === String(id));
      layer.hidden = layer.dataset.value === NO
        && layer.dataset.id !== String(id);
    }
  }

  // A picture as large as its frame allows, its masks over it.
  function showPicture() {
    const one = cards[state.at];
    const picture = element("img", {
      src: `data:image/jpeg;base64,${one.picture}`,
      alt: `Picture ${data.rows[one.row][0]}`,
      width: one.size[0], height: one.size[1],
    });
    const layers = Object.entries(one.layers).map(([id, png]) => {
      const layer = element("img",
        { className: "layer", alt: "", src: `data:image/png;base64,${png}` });
      layer.dataset.id = id;
      return layer;
    });
    $("stack").replaceChildren(picture, ...layers);
    fit();
  }

  function fit() {
    const [width, height] = cards[state.at].size;
    const frame = $("stack").parentElement;
    const scale = Math.min(
      frame.clientWidth / width, frame.clientHeight / height);
    $("stack").style.width = `${Math.floor(width * scale)}px`;
    $("stack").style.height = `${Math.floor(height * scale)}px`;
  }

  // Everything of another picture.
  function show() {
    const one = cards[state.at], order = orders[state.at];
    showPicture();
    $("place").textContent = `${state.at + 1} of ${cards.length}`;
    $("name").textContent = data.rows[one.row][0];
    $("reasons").replaceChildren(
      ...one.reasons.map((text) => element("li", {}, text)));
    const chips = order.map(chip);
    $("chips").replaceChildren(...chips.slice(0, KEYS));
    $("others").replaceChildren(...chips.slice(KEYS));
    $("more").hidden = chips.length <= KEYS;
    $("back").disabled = state.at === 0;
    draw();
    const own = $("strip").children[state.at];
    const middle = own.offsetLeft - $("strip").offsetLeft
      - $("strip").clientWidth / 2 + own.offsetWidth / 2;
    $("strip").scrollTo({ left: middle });
  }

  // What depends on the tags.
  function draw() {
    const at = state.at, now = card(at);
    for (const made of document.querySelectorAll(".chip")) {
      const id = Number(made.dataset.id), value = valueOf(now, id);
      const changed = value !== valueOf(begun[at], id);
      made.className = `chip ${value}${changed ? " changed" : ""}`;
      const checked = { yes: "true", no: "false", maybe: "mixed" }[value];
      made.firstChild.setAttribute("aria-checked", checked);
      made.lastChild.setAttribute("aria-pressed", value === MAYBE);
    }
    for (const layer of $("stack").querySelectorAll(".layer")) {
      const value = valueOf(now, Number(layer.dataset.id));
      layer.dataset.value = value;
      layer.hidden = value === NO;
      layer.classList.toggle("maybe", value === MAYBE);
      layer.classList.remove("peek");
    }
    [...$("strip").children].forEach((item, i) => {
      const button = item.firstChild, changed = isChanged(i);
      const checked = card(i).checked;
      button.className = `${checked ? "checked" : ""}${changed ? " changed" : ""}`;
      button.setAttribute("aria-label", `Picture ${i + 1}`
        + `${checked ? ", checked" : ""}${changed ? ", changed" : ""}`);
      if (i === at) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    });
    const all = cards.map((_, i) => i);
    const done = all.filter((i) => card(i).checked).length;
    const changed = all.filter(isChanged).length;
    $("progress").value = done;
    $("count").textContent = `${done} of ${cards.length} checked, `
      + `${changed} changed · tags.csv has ${given().length}`;
    $("verdict").textContent = isChanged(at) ? "Changed" : "Right so";
    $("undo").disabled = !state.history.length;
  }

  // The pictures of tags.csv: of given tags all; else those looked at.
  function given() {
    const at = new Map(cards.map((one, i) => [one.row, i]));
    return data.rows.flatMap(([image, tags, unknown], row) => {
      if (!at.has(row)) return data.given ? [{ image, tags, unknown }] : [];
      const i = at.get(row);
      const isSeen = card(i).checked || isChanged(i);
      return data.given || isSeen ? [{ image, ...card(i) }] : [];
    });
  }

  function csv() {
    const rows = given();
    const cell = (text) => /[",\r\n]/.test(text)
      ? `"${text.replaceAll('"', '""')}"` : text;
    const names = (ids) => cell(ids.map((id) => data.names[id]).join(";"));
    const isUnsure = rows.some((row) => row.unknown.length);
    const lines = rows.map((row) => [cell(row.image), names(row.tags),
      ...(isUnsure ? [names(row.unknown)] : [])].join(","));
    return [`image,labels${isUnsure ? ",unknown" : ""}`, ...lines, ""]
      .join("\n");
  }

  function save() {
    const address = URL.createObjectURL(
      new Blob([csv()], { type: "text/csv" }));
    const link = element("a", { href: address, download: "tags.csv" });
    document.body.append(link);
    link.click();
    link.remove();
    URL.revokeObjectURL(address);
    say("tags.csv is saved.");
  }

  async function copy() {
    const text = csv();
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      const area = element("textarea", { value: text });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      $("copy").focus();
    }
    say("The content of tags.csv is copied.");
  }

  const masks = () =>
    $("stage").classList.toggle("plain", !$("masks").checked);

  document.addEventListener("keydown", (event) => {
    if (event.altKey || event.metaKey && event.key !== "z") return;
    if (event.ctrlKey || event.metaKey) {
      if (event.key.toLowerCase() === "z") { event.preventDefault(); undo(); }
      return;
    }
    const digit = /^(?:Digit|Numpad)(\d)$/.exec(event.code);
    if (digit) {
      const id = digit[1] === "0" ? null : orders[state.at][digit[1] - 1];
      if (digit[1] === "0") none();
      else if (id !== undefined) (event.shiftKey ? doubt : flip)(id);
    } else if (event.key === "ArrowRight") next();
    else if (event.key === "ArrowLeft") go(state.at - 1);
    else if (event.key.toLowerCase() === "u") undo();
    else if (event.key.toLowerCase() === "m") {
      $("masks").checked = !$("masks").checked;
      masks();
    } else return;
    event.preventDefault();
  });

  // A finger that wipes to the side turns the page.
  let start = null;
  const stage = $("stage");
  stage.addEventListener("touchstart", (event) => {
    const { clientX, clientY } = event.touches[0];
    start = event.touches.length === 1 ? [clientX, clientY] : null;
  }, { passive: true });
  stage.addEventListener("touchend", (event) => {
    if (!start) return;
    const { clientX, clientY } = event.changedTouches[0];
    const x = clientX - start[0], y = clientY - start[1];
    start = null;
    if (Math.abs(x) < 50 || Math.abs(x) < 2 * Math.abs(y)) return;
    if (x < 0) next(); else go(state.at - 1);
  });

  $("strip").replaceChildren(...cards.map((one, i) => {
    const small = element("img", {
      src: `data:image/jpeg;base64,${one.picture}`, alt: "", loading: "lazy",
      decoding: "async",
    });
    const button = element("button", { type: "button" }, small);
    button.addEventListener("click", () => go(i));
    return element("li", {}, button);
  }));
  for (const [id, act] of Object.entries({
    undo, copy, save, none, next, on: next, back: () => go(state.at - 1),
  })) $(id).addEventListener("click", act);
  $("masks").addEventListener("change", masks);
  addEventListener("resize", fit);
  document.querySelector("main").hidden = false;
  show();
})();
