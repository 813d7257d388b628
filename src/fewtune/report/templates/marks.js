(() => {
  // Marks of which answer is better, names hidden on request. Without this script the answers just stand there.
  const panel = document.querySelector(".marking");
  if (!panel) return;
  const [blind, other, save, told] = ["input", "select", "button", "output"].map((kind) => panel.querySelector(kind));
  const first = panel.dataset.first, seed = parseInt(panel.dataset.seed, 10) || 0;
  const marks = new Map();
  let unsaved = false;
  // A coin for each row, from the seed of the fit: the same whenever the page is opened.
  const coin = (place) => {
    let x = (Math.imul(seed + 1, 0x9e3779b1) ^ Math.imul(place + 1, 0x85ebca6b)) >>> 0;
    for (let turn = 0; turn < 2; turn++) { x ^= x >>> 16; x = Math.imul(x, 0x45d9f3b) >>> 0; }
    return (x ^ (x >>> 16)) & 1;
  };
  const samples = [...document.querySelectorAll("table.sample")].map((table, place) => {
    const rows = [...table.querySelectorAll("tr[data-way]")];
    const line = document.createElement("tr"), head = document.createElement("th"), cell = document.createElement("td");
    line.setAttribute("role", "row"); head.scope = "row"; head.setAttribute("role", "rowheader"); cell.setAttribute("role", "cell");
    head.textContent = "Your mark"; cell.className = "choices"; line.append(head, cell); table.tBodies[0].append(line);
    const buttons = ["better", "worse", "tie"].map((mark) => {
      const button = document.createElement("button");
      button.type = "button"; button.dataset.mark = mark; cell.append(button);
      button.addEventListener("click", () => {
        const key = `${place}/${other.value}`;
        if (marks.get(key)?.mark === mark) marks.delete(key); else marks.set(key, { mark, blind: blind.checked, second: other.value });
        unsaved = marks.size > 0;
        show();
      });
      return button;
    });
    return { table, rows, line, cell, buttons, names: rows.map((row) => row.cells[0].textContent), turned: coin(place) };
  });
  const pair = (sample) => [first, other.value].map((way) => sample.rows.find((row) => row.dataset.way === way));
  const show = () => {
    samples.forEach((sample, place) => {
      const two = pair(sample), both = two[0] && two[1], kept = marks.get(`${place}/${other.value}`);
      const turned = blind.checked && sample.turned;
      sample.line.hidden = !both;
      sample.rows.forEach((row, at) => {
        const shown = !blind.checked || (both && two.includes(row));
        row.hidden = !shown;
        row.classList.toggle("chosen", !blind.checked && row.dataset.way === "winner");
        const letter = (row === two[0]) !== Boolean(turned) ? "A" : "B";
        row.cells[0].textContent = blind.checked ? `Answer ${letter}` : sample.names[at];
      });
      const order = blind.checked && both ? (turned ? [two[1], two[0]] : two) : sample.rows;
      for (const row of order) sample.line.before(row);
      const called = both ? two.map((row) => row.cells[0].textContent) : ["", ""];
      const alike = both && two[0].dataset.answer === two[1].dataset.answer;
      sample.buttons.forEach((button, at) => {
        button.disabled = alike && at < 2;
        button.textContent = at < 2 ? `${called[at]} is better` : "They are alike";
        button.setAttribute("aria-pressed", String(kept?.mark === button.dataset.mark));
      });
      // The order of the buttons would give the names away. Moved only when it must be: moving takes the focus away.
      const inOrder = (turned ? [1, 0, 2] : [0, 1, 2]).map((at) => sample.buttons[at]);
      if (inOrder.some((button, at) => sample.cell.children[at] !== button)) sample.cell.replaceChildren(...inOrder);
    });
    told.textContent = marks.size ? `${marks.size} marked` : "";
    save.disabled = !marks.size;
  };
  const lines = () => [...marks].map(([key, { mark, blind, second }]) => {
    const { table, rows } = samples[parseInt(key, 10)];
    const [mine, theirs] = [first, second].map((way) => rows.find((row) => row.dataset.way === way).dataset.answer);
    const answers = mark === "tie" ? {} : mark === "better" ? { chosen: mine, rejected: theirs } : { chosen: theirs, rejected: mine };
    const { row, id, messages } = table.dataset;
    const prompt = messages ? JSON.parse(messages) : table.dataset.prompt;
    return JSON.stringify({ prompt, ...answers, mark, first, second, row: parseInt(row.replaceAll(",", ""), 10), id, blind });
  });
  save.addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([lines().join("\n") + "\n"], { type: "application/x-ndjson" }));
    link.download = "marks.jsonl"; link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    unsaved = false;
  });
  // Marks live in this page alone until they are saved.
  addEventListener("beforeunload", (event) => { if (unsaved) event.preventDefault(); });
  for (const one of [blind, other]) one.addEventListener("change", show);
  panel.hidden = false;
  show();
})();
