// Minimal DOM diff: updates nodes in place, so that nothing flickers and neither the selection nor
// the focus is lost while an answer grows.

/** Make the children of `parent`, from index `from`, equal to `nodes`. */
export function patchChildren(parent, from, nodes) {
  // By siblings: after each change `childNodes` would be counted again from its start.
  let old = parent.childNodes[from];
  for (const node of nodes) {
    const next = old?.nextSibling;
    if (!old) parent.append(node);
    else if (!patched(old, node)) old.replaceWith(node);
    old = next;
  }
  while (old) {
    const next = old.nextSibling;
    old.remove();
    old = next;
  }
}

function patched(old, node) {
  if (old.nodeName !== node.nodeName) return false;
  if (old.nodeType === Node.TEXT_NODE) {
    if (old.data === node.data) return true;
    // Appending keeps the selection.
    if (node.data.startsWith(old.data)) old.appendData(node.data.slice(old.data.length));
    else old.data = node.data;
    return true;
  }
  if (old.attributes.length !== node.attributes.length) return false;
  for (const { name, value } of node.attributes) {
    if (old.getAttribute(name) !== value) return false;
  }
  patchChildren(old, 0, Array.from(node.childNodes));
  return true;
}
