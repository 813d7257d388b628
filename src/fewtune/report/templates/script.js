(() => {
  // Without this script the page loses nothing but sorting, and old browsers unfold nothing when printing.
  const value = (row, column) => {
    let at = 0;
    for (const cell of row.cells) { if (at === column) return cell.dataset.order ?? cell.textContent.trim(); at += cell.colSpan; }
    return "";
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    let column = 0;
    for (const head of table.tHead.rows[0].cells) {
      const own = column; column += head.colSpan;
      const button = document.createElement("button");
      button.type = "button"; button.textContent = head.textContent; head.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...table.tBodies[0].rows];
        const compare = (a, b) => {
          const [x, y] = [value(a, own), value(b, own)];
          return x !== "" && y !== "" && !isNaN(x) && !isNaN(y) ? x - y : x.localeCompare(y);
        };
        table.tBodies[0].append(...rows.sort((a, b) => (up ? 1 : -1) * compare(a, b)));
      });
    }
  }
  let folded = [];
  addEventListener("beforeprint", () => { folded = [...document.querySelectorAll("details:not([open])")]; for (const one of folded) one.open = true; });
  addEventListener("afterprint", () => { for (const one of folded) one.open = false; });
})();
