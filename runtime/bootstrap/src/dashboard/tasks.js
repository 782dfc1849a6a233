"use strict";
// The form for a task: which kinds there are, and what each needs.

const PEER = { pattern: "[a-z2-7]{52}", placeholder: "peer id", list: "peer-ids", required: "" };
const HASH = { pattern: "[0-9a-fA-F]{64}", placeholder: "64 hexadecimal digits", required: "" };
const PARTS = {
  peer: ["Peer", PEER],
  address: ["Address", { placeholder: "IP address", required: "" }],
  to: ["To", PEER],
  text: ["Text", { required: "" }],
  hash: ["Hash", HASH],
  size: ["Size in bytes", { type: "number", min: 0, required: "" }],
  beacon_interval_ms: ["Between beacons, ms", { type: "number", min: 100, max: 300000, placeholder: "as it is" }],
  message_ttl_secs: ["Keep messages, s", { type: "number", min: 1, max: 86400, placeholder: "as it is" }],
  active_links: ["Links in a crowd", { type: "number", min: 1, max: 1024, placeholder: "as it is" }],
  signer: ["Signer", PEER],
  message: ["Signed text", {}],
  signature: ["Signature", { placeholder: "base64", required: "" }],
  servers: ["Servers", { placeholder: "URLs, with spaces between", required: "" }],
  name: ["Name", { required: "" }],
};
const KINDS = {
  "heartbeat": [], "block-peer": ["peer"], "unblock-peer": ["peer"], "remove-peer": ["peer"],
  "block-address": ["address"], "unblock-address": ["address"], "send-message": ["to", "text"], "ping-peer": ["peer"],
  "disconnect-peer": ["peer"], "authorize-peer": ["peer"], "revoke-peer": ["peer"], "request-data": ["hash", "size"],
  "send-data": ["hash", "size", "to"], "synchronize": [],
  "update-settings": ["beacon_interval_ms", "message_ttl_secs", "active_links"], "verify-record": ["hash"],
  "verify-signature": ["signer", "message", "signature"], "request-public-key": [], "bootstrap-initialize": ["servers"],
  "set-identifier": ["name"],
};

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text)));
}

// Puts the fields of the chosen kind into the form.
function showParts(select) {
  const fields = KINDS[select.value].map((part) => {
    const [name, attributes] = PARTS[part];
    const label = document.createElement("label");
    const input = document.createElement("input");
    input.name = part;
    input.spellcheck = false;
    for (const [key, value] of Object.entries(attributes)) input.setAttribute(key, value);
    label.append(`${name} `, input);
    return label;
  });
  document.getElementById("task-parts").replaceChildren(...fields);
}

// What the fields say; those that were left empty are left out.
function readParts(kind, value) {
  const of = {};
  for (const part of KINDS[kind]) {
    const text = value(part);
    if (part === "message") of[part] = base64(text);
    else if (text === "") continue;
    else if (part === "servers") of[part] = text.split(/\s+/);
    else of[part] = PARTS[part][1].type === "number" ? Number(text) : text;
  }
  return of;
}

function setUpTasks(form) {
  const select = form.elements.kind;
  select.replaceChildren(...Object.keys(KINDS).map((kind) => new Option(kind, kind)));
  select.addEventListener("change", () => showParts(select));
  showParts(select);
}
