/** Finds the page's elements by id, and fills lists and tables. */

// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- as querySelector has it
export function element<T extends HTMLElement = HTMLElement>(id: string): T {
  return document.getElementById(id) as T;
}

/** Return the input element of an id. */
export function field(id: string): HTMLInputElement {
  return element<HTMLInputElement>(id);
}

/** Replace a list's options by [value, label] pairs. */
export function fill(id: string, options: (readonly [string, string])[], chosen?: string): void {
  const made = options.map(([value, label]) => {
    const option = document.createElement("option");
    [option.value, option.textContent, option.selected] = [value, label, value === chosen];
    return option;
  });
  element<HTMLSelectElement>(id).replaceChildren(...made);
}

/** Make a table row; its first cell is a header, or with the scope "col" every cell. */
export function row(cells: string[], scope: "row" | "col" = "row"): HTMLTableRowElement {
  const line = document.createElement("tr");
  const made = cells.map((text, index) => {
    const heads = index === 0 || scope === "col";
    const cell = document.createElement(heads ? "th" : "td");
    if (cell instanceof HTMLTableCellElement && heads) cell.scope = scope;
    cell.textContent = text;
    return cell;
  });
  line.append(...made);
  return line;
}

/** Describe a GPU by what its adapter tells. */
export function gpuName(adapter: Record<string, string>): string {
  return Object.values(adapter).filter(Boolean).join(" ");
}

/** Kernels by the variant that runs in them, the most first: 80 generated, 12 gemm_tiled_f32. */
export function describeVariants(variants: Record<string, number>): string {
  const counts = Object.entries(variants).sort(([, one], [, other]) => other - one);
  return counts.map(([variant, count]) => `${count} ${variant}`).join(", ");
}
