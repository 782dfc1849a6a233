"use strict";
// Draws peers on a circle, and a line wherever one of two was given the record of the other.

const SVG = "http://www.w3.org/2000/svg";
const MOST = 48;
let chosenPeer = null;

function drawMap(svg, note, peers, introductions) {
  const shown = peers.slice(0, MOST);
  // On a phone there is less room, so there are fewer letters, and they are larger.
  const narrow = svg.clientWidth > 0 && svg.clientWidth < 480;
  const [width, across, down, letters] = narrow ? [420, 105, 150, 10] : [600, 190, 160, 14];
  svg.setAttribute("viewBox", `0 0 ${width} 420`);
  svg.classList.toggle("narrow", narrow);
  const places = new Map();
  shown.forEach((peer, index) => {
    const angle = (2 * Math.PI * index) / Math.max(shown.length, 1) - Math.PI / 2;
    places.set(peer.network + peer.peer, { x: width / 2 + across * Math.cos(angle), y: 210 + down * Math.sin(angle), angle });
  });
  const parts = [];
  let own = 0;
  for (const told of introductions) {
    const [to, of] = [told.network + told.to, told.network + told.of];
    const [from, until] = [places.get(to), places.get(of)];
    if (!from || !until) continue;
    const line = element("line", { x1: from.x, y1: from.y, x2: until.x, y2: until.y });
    if (chosenPeer === to || chosenPeer === of) {
      line.classList.add("chosen");
      own += 1;
    }
    parts.push(line);
  }
  for (const peer of shown) {
    const key = peer.network + peer.peer;
    const { x, y, angle } = places.get(key);
    const group = element("g", { tabindex: 0, role: "button" });
    group.classList.add(stateOf(peer));
    group.append(element("circle", { cx: x, cy: y, r: key === chosenPeer ? 11 : 8 }));
    const left = Math.cos(angle) < -0.01;
    const text = element("text", { x: x + (left ? -13 : 13), y: y + 4, "text-anchor": left ? "end" : "start" });
    text.textContent = (peer.name || peer.peer).slice(0, letters);
    group.append(text);
    group.setAttribute("aria-label", peer.name || peer.peer);
    const choose = () => {
      chosenPeer = chosenPeer === key ? null : key;
      drawMap(svg, note, peers, introductions);
    };
    group.addEventListener("click", choose);
    group.addEventListener("keydown", (event) => {
      if (event.key === "Enter") choose();
    });
    parts.push(group);
  }
  svg.replaceChildren(...parts);
  const chosen = shown.find((peer) => peer.network + peer.peer === chosenPeer);
  note.textContent = chosen
    ? `${chosen.name || "no name"}, ${chosen.peer}: ${own} introductions`
    : peers.length > MOST ? `The first ${MOST} of ${peers.length} peers.` : "";
}

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}
