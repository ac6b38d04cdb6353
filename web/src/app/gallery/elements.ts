/** Makes elements; texts of others come in as text, never as HTML. */

type Attributes = Record<string, string | boolean>;

/**
 * Make an element.
 *
 * @param attributes those with the value false are left out.
 */
export function make<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  attributes: Attributes = {},
  ...content: (string | Node)[]
): HTMLElementTagNameMap[Name] {
  const element = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) {
    if (value !== false) element.setAttribute(attribute, value === true ? "" : value);
  }
  element.append(...content);
  return element;
}

/** Make a button. */
export function makeButton(
  text: string,
  onclick: () => void,
  attributes: Attributes = {},
): HTMLButtonElement {
  const button = make("button", { type: "button", ...attributes }, text);
  button.onclick = onclick;
  return button;
}
