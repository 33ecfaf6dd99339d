// The review page. All content is in `data`; text reaches the page as text (textContent, createTextNode) and in no other form.

const data = JSON.parse(document.getElementById("data").textContent);
const cards = data.cards;
const cardOf = new Map(cards.map((card, i) => [card.cluster, i]));
const STORE = `winnow exclusions ${data.fingerprint}`;
const get = (id) => document.getElementById(id);

// ------------------------------------------------------------------ text

const count = (n) => n.toLocaleString("en");
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.001 ? 3 : 1)}\u00a0%`;
const places = (value) => value.toFixed(3);

// Control characters as their pictures, so that they are seen and do nothing.
function visible(text) {
  return text.replace(/\r\n/g, "\n").replace(/[\u0000-\u0008\u000b-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replace(/\u007f/g, "\u2421").replace(/[\u0080-\u009f]/g, "\ufffd");
}

// An element. properties: of the object, or attributes if the name has a hyphen or is `for` or `role`; children: elements or text.
function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.includes("-") || name === "for" || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

const foreign = (text) => make("bdi", {}, visible(text)); // a name from the corpus inside a sentence
const button = (text, action, properties = {}) => make("button", { type: "button", onclick: action, ...properties }, text);

function say(text, error = false) {
  get("message").textContent = text;
  get("message").className = error ? "error" : "";
}

// ------------------------------------------------------------------ decisions

// Decision by cluster: {excluded, reason}; a cluster without one is undecided, and not excluded.
let decisions = new Map();
const history = []; // of [cluster, decision before] of each step
let stored = true; // whether this browser keeps decisions
let downloaded = true;
let rater = null; // {file, reasons} of the second rater

function exclusions() {
  return new Map([...decisions].filter(([, one]) => one.excluded).map(([cluster, one]) => [cluster, one.reason]));
}

function proposal(card) {
  return [card.preset, ...card.reasons].filter(Boolean).join("; ");
}

function stateOf(card) {
  const one = decisions.get(card.cluster);
  if (one) return one.excluded ? "excluded" : "kept";
  return proposal(card) ? "proposed" : "undecided";
}

function save() {
  try {
    localStorage.setItem(STORE, JSON.stringify([...decisions]));
  } catch (error) {
    stored = false;
  }
}

function restore() {
  let kept = null;
  try {
    kept = localStorage.getItem(STORE);
  } catch (error) {
    stored = false;
  }
  if (kept) decisions = new Map(JSON.parse(kept));
  else for (const card of cards) if (card.preset) decisions.set(card.cluster, { excluded: true, reason: card.preset });
  get("kept-where").textContent = stored
    ? "Decisions are kept in this browser until you return. Only the downloaded file reaches the workflow."
    : "This browser keeps no decisions of this page: download them before you close it.";
}

// One step, which undo takes back: changes is a list of [cluster, decision or null].
function decide(changes) {
  history.push(changes.map(([cluster]) => [cluster, decisions.get(cluster) || null]));
  apply(changes);
}

function apply(changes) {
  for (const [cluster, one] of changes) {
    if (one) decisions.set(cluster, one);
    else decisions.delete(cluster);
  }
  downloaded = false;
  save();
  showDecisions();
}

function undo() {
  const step = history.pop();
  if (!step) return say("There is nothing to undo.");
  apply(step);
  const at = cardOf.get(step[0] && step[0][0]);
  if (at !== undefined) open(at);
  return say(step.length === 1 ? `The decision on cluster ${step[0][0]} was taken back.` : `${step.length} decisions were taken back.`);
}

function acceptProposals() {
  const open = cards.filter((card) => stateOf(card) === "proposed");
  if (!open.length) return say("No undecided cluster is proposed for exclusion.");
  decide(open.map((card) => [card.cluster, { excluded: true, reason: proposal(card) }]));
  return say(`${open.length} proposed clusters are excluded; undo takes this back.`);
}

// ------------------------------------------------------------------ files

async function readFile(input) {
  const file = input.files[0];
  input.value = "";
  if (!file) return null;
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    return { file: file.name, reasons: readExclusions(text, data.fingerprint, data.clusters, file.name) };
  } catch (error) {
    say(error instanceof TypeError ? `${file.name}: not UTF-8; save it as UTF-8 text` : error.message, true);
    return null;
  }
}

async function load(event) {
  const read = await readFile(event.target);
  if (!read) return;
  const changes = [...exclusions().keys()].filter((cluster) => !read.reasons.has(cluster)).map((cluster) => [cluster, null]);
  for (const [cluster, reason] of read.reasons) changes.push([cluster, { excluded: true, reason }]);
  decide(changes);
  say(`${read.file}: ${read.reasons.size} excluded clusters were loaded in place of those before.`);
}

async function loadSecond(event) {
  const read = await readFile(event.target);
  if (!read) return;
  rater = read;
  get("filter").querySelector("[value=disputed]").hidden = false;
  showDecisions();
  get("agreement").scrollIntoView({ block: "nearest" });
  say(`${read.file}: compared with your decisions.`);
}

function download() {
  const url = URL.createObjectURL(new Blob([writeExclusions(data.fingerprint, exclusions())], { type: "text/tab-separated-values" }));
  make("a", { href: url, download: data.file.split("/").pop() }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
  downloaded = true;
  say(`Save the file as ${data.file} in the folder of the workflow.`);
}

// ------------------------------------------------------------------ list of clusters

const SORTS = [
  ["size, largest first", (card) => -card.documents],
  ["proposed first", (card) => -(proposal(card) ? 1 + card.reasons.length : 0)],
  ["cluster", (card) => card.cluster],
  ["mean distance, largest first", (card) => -card.mean_distance],
  ["diversity, largest first", (card) => -card.diversity],
  ...data.criteria.map((one, i) => [`${one.name}, ${one.more ? "largest" : "smallest"} first`, (card) => (one.more ? -1 : 1) * card.measures[i]]),
];
const rows = cards.map((card, i) => {
  const state = make("span", { className: "state" });
  const row = button("", () => open(i, true), { tabIndex: -1 });
  row.append(make("span", { className: "id" }, String(card.cluster)), make("span", {}, `${count(card.documents)} (${percent(card.documents / data.documents)})`),
    state, make("span", { className: "terms" }, card.terms.slice(0, 6).join(" ")));
  return { item: make("li", {}, row), button: row, state };
});
let order = []; // indices of the cards that the list shows
let current = 0; // index of the card that is open
const haystacks = [];

function haystack(i) {
  haystacks[i] ??= [String(cards[i].cluster), ...cards[i].terms, ...cards[i].domains.map(([name]) => name || ""), ...cards[i].reasons,
    ...Object.values(cards[i].examples).flat().map(([, text]) => text)].join("\n").toLowerCase();
  return haystacks[i];
}

function passes(card, i) {
  const filter = get("filter").value;
  const state = stateOf(card);
  if (filter === "undecided" && state !== "undecided" && state !== "proposed") return false;
  if (filter === "proposed" && !proposal(card)) return false;
  if ((filter === "excluded" || filter === "kept") && state !== filter) return false;
  if (filter === "disputed" && !(rater && rater.reasons.has(card.cluster) !== (state === "excluded"))) return false;
  const words = get("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  return words.every((word) => haystack(i).includes(word));
}

function showList() {
  const value = SORTS[get("sort").selectedIndex][1];
  const before = order;
  order = cards.map((_, i) => i).filter((i) => passes(cards[i], i));
  order.sort((a, b) => value(cards[a]) - value(cards[b]) || a - b);
  if (order.length !== before.length || order.some((i, n) => i !== before[n])) get("list").replaceChildren(...order.map((i) => rows[i].item));
  get("matches").textContent = `${count(order.length)} of ${count(cards.length)} clusters`;
  mark();
}

// The open cluster in the list: the only one that Tab stops at.
function mark() {
  const inList = order.includes(current);
  for (const [i, row] of rows.entries()) {
    row.button.tabIndex = i === current || (!inList && i === order[0]) ? 0 : -1;
    if (i === current) row.button.setAttribute("aria-current", "true");
    else row.button.removeAttribute("aria-current");
  }
  if (!inList) return;
  const [list, item] = [get("list"), rows[current].item];
  if (list.contains(document.activeElement)) rows[current].button.focus({ preventScroll: true });
  const [box, own] = [list.getBoundingClientRect(), item.getBoundingClientRect()];
  if (own.top < box.top) list.scrollTop -= box.top - own.top;
  if (own.bottom > box.bottom) list.scrollTop += own.bottom - box.bottom;
}

function open(i, focus = false) {
  current = i;
  mark();
  showCard();
  colourMap();
  if (focus && matchMedia("(max-width: 800px)").matches) get("card").scrollIntoView();
}

function neighbour(step) {
  const at = order.indexOf(current);
  return at < 0 ? order[0] : order[Math.min(Math.max(at + step, 0), order.length - 1)];
}

function move(step) {
  const to = neighbour(step);
  if (to !== undefined) open(to);
}

// ------------------------------------------------------------------ card

const medians = data.criteria.map((_, i) => {
  const values = cards.map((card) => card.measures[i]).sort((a, b) => a - b);
  return values.length ? (values[(values.length - 1) >> 1] + values[values.length >> 1]) / 2 : 0;
});

function decideAndGo(decision) {
  const next = neighbour(1);
  const [cluster, was] = [cards[current].cluster, current];
  decide([[cluster, decision]]);
  say(decision.excluded ? `Cluster ${cluster} is excluded.` : `Cluster ${cluster} is kept.`);
  open(next === undefined ? was : next);
}

const keep = () => decideAndGo({ excluded: false, reason: "" });

function askReason() {
  const form = get("reason-form");
  form.hidden = false;
  get("reason").focus();
  get("reason").select();
}

function excludeForm(card) {
  const before = decisions.get(card.cluster);
  const reasons = [...new Set(exclusions().values())].slice(-30);
  const input = make("input", { type: "text", id: "reason", required: true, autocomplete: "off", value: (before && before.reason) || proposal(card) });
  input.setAttribute("list", "reasons");
  const cancel = () => {
    form.hidden = true;
    get("card").focus();
  };
  const form = make("form", { id: "reason-form", hidden: true },
    make("label", {}, "Reason ", input), make("datalist", { id: "reasons" }, ...reasons.map((reason) => make("option", { value: reason }))),
    make("button", { type: "submit" }, "Exclude"), button("Cancel", cancel));
  form.onsubmit = (event) => {
    event.preventDefault();
    const reason = oneLine(input.value);
    if (!reason) return say("An exclusion requires a reason.", true);
    decideAndGo({ excluded: true, reason });
    return get("card").focus({ preventScroll: true });
  };
  form.onkeydown = (event) => { if (event.key === "Escape") cancel(); };
  return form;
}

function table(caption, head, lines) {
  const cells = (tag, line) => make("tr", {}, ...line.map((cell, i) => make(tag, { className: i ? "r" : "", ...(tag === "th" ? { scope: "col" } : {}) }, cell)));
  return make("table", {}, make("caption", { className: "little" }, caption), make("thead", {}, cells("th", head)), make("tbody", {}, ...lines.map((line) => cells("td", line))));
}

function shareTable(name, shares, none) {
  return table("Shares of the sample", [name, "share"], shares.map(([name, share]) => [name === null ? make("i", {}, none) : foreign(name), percent(share)]));
}

function criteriaTable(card) {
  const lines = data.criteria.map((one, i) => {
    const value = card.measures[i];
    const beyond = one.threshold !== null && (one.more ? value > one.threshold : value < one.threshold);
    const limit = one.threshold === null ? "off" : `${one.more ? ">" : "<"} ${one.threshold}`;
    return [make("span", { title: one.what }, one.name), make("span", { className: beyond ? "worse" : "" }, places(value)), places(medians[i]), limit];
  });
  return table("Measured on the sample", ["criterion", "value", "median", "proposed if"], lines);
}

function example([doc, text, shortened]) {
  const SHORT = 400;
  const pre = make("pre", { dir: "auto" });
  const show = (part, more) => { pre.textContent = visible(part) + (more ? " …" : ""); };
  const head = make("p", {}, `document ${doc}`);
  const letters = [...text];
  if (letters.length <= SHORT) show(text, shortened);
  else {
    show(letters.slice(0, SHORT).join(""), true);
    const more = button("more", () => { show(text, shortened); more.remove(); }, { "aria-label": `more of document ${doc}` });
    head.append(" ", more);
  }
  return make("div", { className: "example" }, head, pre);
}

function showCard() {
  const card = cards[current];
  if (!card) return get("card").replaceChildren("There is no cluster with documents.");
  const held = get("card").contains(document.activeElement) ? document.activeElement.dataset.action : undefined;
  const state = stateOf(card);
  const one = decisions.get(card.cluster);
  const actions = [["previous", "Previous (k)", () => move(-1)], ["next", "Next (j)", () => move(1)], ["keep", "Keep (a)", keep], ["exclude", "Exclude … (x)", askReason]];
  const buttons = actions.map(([name, text, action]) => {
    const made = button(text, action);
    made.dataset.action = name;
    return made;
  });
  const figures = [["documents", count(card.documents)], ["share", percent(card.documents / data.documents)], ["mean distance", places(card.mean_distance)],
    ["diversity", places(card.diversity)], ["near-duplicates", percent(card.measures[0])]];
  const why = proposal(card);
  const columns = [criteriaTable(card)];
  if (data.group) columns.push(shareTable(visible(data.group), card.domains, "no domain"));
  columns.push(shareTable("script", card.scripts, "no letters"));
  get("card").replaceChildren(
    make("div", { className: "card-head" },
      make("h2", { id: "card-title" }, `Cluster ${card.cluster} `, make("span", { className: `state ${state}` }, state)),
      make("div", { className: "buttons" }, ...buttons)),
    excludeForm(card),
    one && one.excluded ? make("p", { className: "why" }, "Excluded: ", foreign(one.reason)) : "",
    make("p", { className: "why" }, why ? "Proposed for exclusion: " : "No criterion proposes to exclude it.", why ? foreign(why) : ""),
    make("dl", { className: "figures" }, ...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
    make("p", { className: "terms-line" }, "Terms: ", foreign(card.terms.join(", ") || "none")),
    make("div", { className: "columns" }, ...columns),
    make("h3", {}, "Similar clusters (cosine of the centroids)"),
    make("div", { className: "similar" }, ...card.similar.map(([cluster, cosine]) => button(`${cluster} (${cosine.toFixed(2)})`, () => open(cardOf.get(cluster))))),
    ...Object.entries(card.examples).flatMap(([kind, documents]) => [make("h3", {}, `${kind[0].toUpperCase()}${kind.slice(1)} documents`), ...documents.map(example)]),
  );
  if (held) get("card").querySelector(`[data-action=${held}]`).focus({ preventScroll: true });
  return undefined;
}

// ------------------------------------------------------------------ totals, excluded clusters, second rater

const sizeOf = (cluster) => (cardOf.has(cluster) ? cards[cardOf.get(cluster)].documents : 0);
const clusterButton = (cluster) => (cardOf.has(cluster) ? button(String(cluster), () => open(cardOf.get(cluster), true), { "aria-label": `cluster ${cluster}` }) : String(cluster));

function showDecisions() {
  const excluded = exclusions();
  const documents = [...excluded.keys()].reduce((sum, cluster) => sum + sizeOf(cluster), 0);
  const reviewed = cards.filter((card) => decisions.has(card.cluster)).length;
  const nothing = cards.length && cards.every((card) => excluded.has(card.cluster));
  get("total").replaceChildren("Excluded: ", make("strong", {}, `${count(excluded.size)} of ${count(data.clusters)} clusters, ${count(documents)} documents (${percent(documents / Math.max(1, data.documents))})`),
    ` · decided: ${count(reviewed)} of ${count(cards.length)}`, nothing ? make("strong", { className: "worse" }, " · nothing is left to draw from: the workflow rejects this") : "");
  for (const [i, card] of cards.entries()) {
    const state = stateOf(card);
    rows[i].state.className = `state ${state}`;
    rows[i].state.textContent = state === "undecided" ? "" : state;
  }
  const sorted = [...excluded].sort((a, b) => a[0] - b[0]);
  get("excluded").replaceChildren(sorted.length
    ? make("div", { className: "wide", tabIndex: 0, role: "group", "aria-label": "Excluded clusters" }, make("table", {},
      make("thead", {}, make("tr", {}, ...["cluster", "documents", "share", "reason"].map((name, i) => make("th", { scope: "col", className: i === 1 || i === 2 ? "r" : "" }, name)))),
      make("tbody", {}, ...sorted.map(([cluster, reason]) => make("tr", {}, make("td", {}, clusterButton(cluster)), make("td", { className: "r" }, count(sizeOf(cluster))),
        make("td", { className: "r" }, percent(sizeOf(cluster) / Math.max(1, data.documents))), make("td", { className: "n" }, foreign(reason)))))))
    : make("p", { className: "little" }, "None so far."));
  get("undo").disabled = !history.length;
  showAgreement(excluded);
  showList();
  if (get("colour").value === "exclusion") colourMap();
}

function showAgreement(excluded) {
  get("agreement").hidden = !rater;
  if (!rater) return;
  const found = agreement(cards.map((card) => card.cluster), excluded, rater.reasons);
  const kappa = found.kappa === null ? "not defined: both decided the same for all clusters" : found.kappa.toFixed(3);
  const figures = [["both exclude", count(found.both)], ["only you exclude", count(found.mine)], ["only the second rater excludes", count(found.theirs)],
    ["neither excludes", count(found.neither)], ["agreement", percent(found.observed)], ["Cohen’s kappa", kappa]];
  get("agreement").replaceChildren(
    make("h2", { id: "agreement-title" }, "Second rater: ", foreign(rater.file)),
    make("dl", { className: "figures" }, ...figures.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value)))),
    make("p", { className: "little" }, "A cluster without a decision counts as one that is not excluded."),
    found.disputed.length ? make("p", {}, "Disagreements:") : "",
    make("div", { className: "similar" }, ...found.disputed.map((cluster) =>
      button(`${cluster}: ${excluded.has(cluster) ? "only you" : visible(rater.reasons.get(cluster)).slice(0, 60)}`, () => open(cardOf.get(cluster), true)))),
  );
}

// ------------------------------------------------------------------ map

function unpack(text, Kind) {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return new Kind(bytes.buffer);
}

const points = {
  x: unpack(data.map.x, Uint16Array),
  y: unpack(data.map.y, Uint16Array),
  card: unpack(data.map.card, Uint32Array),
  duplicate: unpack(data.map.duplicate, Uint8Array),
  domain: data.map.domains && unpack(data.map.domain, Uint8Array),
  scores: data.map.scores.map((one) => unpack(one.steps, Uint8Array)),
};
const GREY = [139, 148, 158];
const HUES = [[0, 114, 178], [230, 159, 0], [0, 158, 115], [204, 121, 167], [86, 180, 233], [213, 94, 0], [140, 107, 177], [166, 118, 29], [127, 159, 47], [95, 127, 143]];
const STATES = { excluded: [213, 94, 0], proposed: [230, 159, 0], kept: [0, 114, 178], undecided: GREY };
const LOW_TO_HIGH = [[0, 114, 178], [123, 168, 196], [168, 168, 168], [226, 160, 92], [213, 94, 0]];
let map = null;

function clusterColour(i) {
  const [hue, light] = [(i * 137.508) % 360, [0.45, 0.58, 0.68][i % 3]];
  const chroma = 0.6 * Math.min(light, 1 - light);
  return [0, 8, 4].map((n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (light - chroma * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  });
}

function between(share) {
  const at = share * (LOW_TO_HIGH.length - 1);
  const i = Math.min(Math.floor(at), LOW_TO_HIGH.length - 2);
  return LOW_TO_HIGH[i].map((c, n) => Math.round(c + (LOW_TO_HIGH[i + 1][n] - c) * (at - i)));
}

// What the map can be coloured by: name, text, a function from a point to [r, g, b], and the legend as [colour, text].
function colourings() {
  const palette = cards.map((_, i) => clusterColour(i));
  const out = [{ name: "cluster", text: "cluster", of: (i) => palette[points.card[i]], legend: () => [[null, `${count(cards.length)} colours, many alike: point at a document to see its cluster`]] }];
  if (points.domain) {
    const names = data.map.domains;
    const colour = (code) => (code < names.length ? HUES[code] : GREY);
    const others = [...points.domain].some((code) => code >= names.length);
    out.push({ name: "domain", text: visible(data.group), of: (i) => colour(points.domain[i]),
      legend: () => [...names.map((name, code) => [HUES[code], name]), ...(others ? [[GREY, "others and none"]] : [])] });
  }
  out.push({ name: "exclusion", text: "exclusion", of: (i) => STATES[stateOf(cards[points.card[i]])],
    legend: () => [[STATES.excluded, "excluded"], [STATES.proposed, "proposed, undecided"], [STATES.kept, "kept"], [STATES.undecided, "undecided"]] });
  out.push({ name: "duplicates", text: "near-duplicates", of: (i) => (points.duplicate[i] ? STATES.excluded : GREY),
    legend: () => [[STATES.excluded, "has a near-duplicate on the map"], [GREY, "has none"]] });
  data.map.scores.forEach((one, s) => out.push({ name: `score ${one.name}`, text: `score: ${one.name}`,
    of: (i) => (points.scores[s][i] === 255 ? GREY : between(points.scores[s][i] / 254)),
    legend: () => [...LOW_TO_HIGH.map((colour, n) => [colour, scoreAt(s, n / (LOW_TO_HIGH.length - 1)).toPrecision(3)]), [GREY, "no score"]] }));
  return out;
}

const scoreAt = (s, share) => data.map.scores[s].low + share * (data.map.scores[s].high - data.map.scores[s].low);
const coloured = colourings();

function colourMap() {
  if (!map) return;
  const how = coloured.find((one) => one.name === get("colour").value);
  const highlight = get("highlight").checked;
  const n = points.x.length;
  const [bytes, large] = [new Uint8ClampedArray(4 * n), new Uint8Array(n)];
  const byState = how.name === "exclusion" ? cards.map((card) => STATES[stateOf(card)]) : null;
  for (let i = 0; i < n; i++) {
    const mine = points.card[i] === current;
    const [r, g, b] = byState ? byState[points.card[i]] : how.of(i);
    large[i] = highlight && mine ? 1 : 0;
    bytes[4 * i] = r; bytes[4 * i + 1] = g; bytes[4 * i + 2] = b;
    bytes[4 * i + 3] = highlight && !mine ? 110 : 255;
  }
  map.set(new Uint32Array(bytes.buffer), large);
  get("legend").replaceChildren(...how.legend().map(([colour, text]) => {
    const swatch = make("i", {});
    if (colour) swatch.style.background = `rgb(${colour.join(" ")})`;
    return make("li", {}, colour ? swatch : "", foreign(text));
  }));
}

function showTip(i, event) {
  const tip = get("tip");
  tip.hidden = i < 0;
  if (i < 0) return;
  const about = [`Cluster ${cards[points.card[i]].cluster}`, `document ${data.map.doc[i]}`];
  if (points.domain) about.push(visible(data.map.domains[points.domain[i]] ?? "other domain, or none"));
  if (points.duplicate[i]) about.push("has a near-duplicate");
  data.map.scores.forEach((one, s) => { if (points.scores[s][i] < 255) about.push(`${one.name} ≈ ${scoreAt(s, points.scores[s][i] / 254).toPrecision(3)}`); });
  tip.replaceChildren(make("p", { className: "little" }, about.join(" · ")), make("p", { dir: "auto" }, visible(data.map.start[i])));
  const box = get("map-box").getBoundingClientRect();
  const [x, y] = [event.clientX - box.left, event.clientY - box.top];
  tip.style.left = `${Math.max(0, Math.min(x + 14, box.width - tip.offsetWidth))}px`;
  tip.style.top = `${y > box.height / 2 ? Math.max(0, y - tip.offsetHeight - 12) : y + 16}px`;
}

const pointsOfCluster = () => [...points.card.keys()].filter((i) => points.card[i] === current);

// ------------------------------------------------------------------ start

function onKey(event) {
  const typing = event.target.matches("input, select, textarea");
  if (get("help").open) return;
  if (typing) {
    if (event.key === "Escape" && event.target.id === "search") event.target.blur();
    return;
  }
  if ((event.ctrlKey || event.metaKey) && event.key === "z") {
    event.preventDefault();
    undo();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inList = get("list").contains(event.target);
  const actions = {
    j: () => move(1), k: () => move(-1), a: keep, x: askReason, u: undo, "?": () => get("help").showModal(), "/": () => get("search").focus(),
    m: () => map.showPoints(pointsOfCluster()), ...(inList ? { ArrowDown: () => move(1), ArrowUp: () => move(-1) } : {}),
  };
  if (!actions[event.key]) return;
  event.preventDefault();
  actions[event.key]();
}

get("sort").append(...SORTS.map(([text]) => make("option", {}, text)));
get("colour").append(...coloured.map((one) => make("option", { value: one.name }, visible(one.text))));
get("sort").onchange = showList;
get("filter").onchange = showList;
get("search").oninput = showList;
get("colour").onchange = colourMap;
get("highlight").onchange = colourMap;
get("download").onclick = download;
get("load").onchange = load;
get("second").onchange = loadSecond;
get("accept").onclick = acceptProposals;
get("undo").onclick = undo;
get("help-button").onclick = () => get("help").showModal();
get("zoom-in").onclick = () => map.zoomBy(1.6);
get("zoom-out").onclick = () => map.zoomBy(1 / 1.6);
get("zoom-all").onclick = () => map.showAll();
get("zoom-cluster").onclick = () => map.showPoints(pointsOfCluster());
document.addEventListener("keydown", onKey);
window.addEventListener("beforeunload", (event) => { if (!stored && !downloaded) event.preventDefault(); });

restore();
showDecisions();
if (order.length) open(order[0]);
else showCard();
requestAnimationFrame(() => setTimeout(() => {
  // After the first paint: the list and the card do not wait for the map.
  map = createMap(get("map"), points.x, points.y, showTip, (i) => open(points.card[i], true));
  colourMap();
}));
get("map-note").textContent = `${points.x.length < data.documents ? `A random sample of ${count(points.x.length)} of the` : "All"} ${count(data.documents)} documents of the pool. Places: ${data.map.method} of the vectors that were clustered.`;
