"use strict";
(() => {
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const byId = (id) => document.getElementById(id);
  const specs = read("specs"), units = read("unit-data"), images = read("image-data");
  const { element, picture, crop, hasCrops } = makePictures(units, images);
  const colors = new Map(Object.entries(read("category-colors")));
  const CARDS_AT_ONCE = 48;
  const CHOICES = 5;  // of a label, each on four fifths of the images

  // --- charts -------------------------------------------------------------------------------------------------
  const views = new Map();
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const theme = () => {
    const ink = css("--ink"), quiet = css("--quiet"), line = css("--line");
    const axis = { labelColor: ink, titleColor: quiet, gridColor: line, domainColor: line, tickColor: line,
      titleFontWeight: "normal", labelFontSize: 12 };
    return { background: "transparent", view: { stroke: null }, axis, mark: { tooltip: true },
      text: { color: ink, fontSize: 12 },
      title: { color: ink, subtitleColor: quiet, fontSize: 15, subtitleFontSize: 12, anchor: "start", offset: 8 },
      legend: { labelColor: ink, titleColor: quiet, labelFontSize: 12 }, font: "system-ui, sans-serif" };
  };
  // a name that is too long for its axis is cut; the pointer on it shows the whole
  const wholeNames = (chart) => {
    const named = new Set(chart.scales.filter((scale) => scale.type === "band").map((scale) => scale.name));
    for (const axis of (chart.axes ?? []).filter((each) => named.has(each.scale) && each.labels !== false)) {
      const labels = axis.encode?.labels;
      axis.encode = { ...axis.encode, labels: { ...labels, interactive: true,
        update: { ...labels?.update, tooltip: { signal: "datum.value" } } } };
    }
    return chart;
  };
  // the names that drawable_names.py marks because Vega cannot draw them, and as they were
  const MARK = "\u2060";
  const drawable = (name) => name in Object.prototype ? name + MARK : name;
  const asItWas = (name) => name?.endsWith(MARK) && name.slice(0, -1) in Object.prototype ? name.slice(0, -1) : name;
  // Vega only logs what goes wrong while it draws; its class of views is had from a view of nothing
  const watchedView = async () => {
    const { view } = await vegaEmbed(document.createElement("div"), {}, { mode: "vega", actions: false, ast: true });
    return class extends view.constructor {
      error(failure) {
        this.failure ??= failure;
        return this;
      }
    };
  };
  const viewClass = watchedView();
  const layerOf = (key) => byId(key.startsWith("fidelity-") ? "layer-of-fidelity" : "layer-of-charts").value;
  const drawChart = async (place) => {
    const key = place.dataset.spec, { params, config } = specs[key];
    const layer = { name: "layer", value: drawable(layerOf(key)) };
    const spec = { ...specs[key], config: { ...config, ...theme() }, params: params && [layer] };
    views.get(key)?.finalize();
    views.delete(key);
    const options = { actions: false, ast: true, renderer: "canvas", logLevel: 1, patch: wholeNames };
    const drawn = await vegaEmbed(place, spec, { ...options, viewClass: await viewClass });
    views.set(key, drawn);
    if (drawn.view.failure) throw drawn.view.failure;
    drawn.view.addEventListener("click", (_event, item) => {
      if (item?.datum?.concept !== undefined) showUnits(item.datum);
    });
  };
  const draw = async (which = ".plot") => {
    for (const place of document.querySelectorAll(which)) {
      if (place.closest("[hidden]")) continue;  // it has no width, and is drawn when it is shown
      try {
        await drawChart(place);
      } catch (error) {
        console.error(error);
        place.textContent = `This chart cannot be drawn: ${error.message ?? error}`;
      }
    }
    document.documentElement.dataset.charts = "drawn";
  };
  const chooseLayer = () => draw('.plot[data-spec^="learnt-"], .plot[data-spec^="fidelity-"]');
  // which labels are counted: those that hold, or all
  const countLabels = (labels) => {
    for (const choice of document.querySelectorAll(".counted")) choice.value = labels;
    for (const part of document.querySelectorAll("[data-labels]")) part.hidden = part.dataset.labels !== labels;
    return draw("[data-labels] .plot");
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => draw());

  for (const button of document.querySelectorAll(".copy")) {
    button.addEventListener("click", async () => {
      const text = button.parentElement.querySelector("pre");
      try {
        await navigator.clipboard.writeText(text.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(text);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }

  // --- what the reader chose stands in the page's address: #section?control=value ---------------------------------
  const known = { text: "search", model: "model", layer: "layer", category: "category", held: "held",
    sort: "sort", charts: "layer-of-charts", points: "layer-of-fidelity", count: "counted", unit: "unit-shown" };
  const controls = Object.fromEntries(Object.entries(known).filter(([, id]) => byId(id)));  // a page may lack some
  const stateOf = (control) => control.type === "checkbox" ? (control.checked ? "yes" : "") : control.value;
  const atFirst = Object.fromEntries(Object.values(controls).map((id) => [id, stateOf(byId(id))]));
  const address = () => {
    const [section, state] = location.hash.slice(1).split(/\?(.*)/s);
    return { section: section || "units", state: state === undefined ? null : new URLSearchParams(state) };
  };
  const writeAddress = (section) => {
    const state = new URLSearchParams();
    for (const [name, id] of Object.entries(controls)) {
      if (stateOf(byId(id)) !== atFirst[id]) state.set(name, stateOf(byId(id)));
    }
    try {
      history.replaceState(null, "", `#${section}${`${state}` && `?${state}`}`);
    } catch {
      // a page that is shown inside another has no address to write
    }
  };
  const readAddress = () => {
    const { state } = address();
    for (const [name, id] of Object.entries(controls)) {
      const control = byId(id), wanted = state.get(name) ?? atFirst[id];
      if (control.type === "checkbox") control.checked = wanted === "yes";
      // a value that this page does not know leaves the control as it was at first
      else control.value = !control.options || [...control.options].some((option) => option.value === wanted)
        ? wanted : atFirst[id];
    }
  };
  const showSection = () => byId(address().section)?.scrollIntoView();
  addEventListener("hashchange", () => {
    const { section, state } = address();
    if (state === null) return writeAddress(section);  // a link to a section: what was chosen stays
    readAddress();
    filter();
    showAsked();
    showChosen().then(showSection);
  });
  const showChosen = () => byId("counted") ? countLabels(byId("counted").value).then(chooseLayer) : chooseLayer();
  for (const [id, section] of [["layer-of-charts", "learnt"], ["layer-of-fidelity", "fidelity"]]) {
    byId(id)?.addEventListener("change", () => {
      draw(`#${section} .plot`);
      writeAddress(section);
    });
  }
  for (const choice of document.querySelectorAll(".counted")) {
    choice.addEventListener("change", () => {
      countLabels(choice.value);
      writeAddress(choice.closest("section")?.id ?? "");
    });
  }

  // --- the gallery of units -----------------------------------------------------------------------------------
  const total = units.unit.length;
  const lower = units.concept.map((concept) => (concept ?? "").toLowerCase());
  const words = lower.map((concept, row) => units.terms[row]?.join("\n").toLowerCase() ?? concept);
  const names = units.unit.map((unit, row) => `${units.model[row]} ${units.layer[row]} ${unit}`);
  const rowsByName = new Map(names.map((name, row) => [name, row]));
  let chosen = [], shown = 0;

  // how far to believe a label, in few words; null where it was not judged
  const fidelity = (row) => {
    const [confidence, heldOut, ceiling, stability] = ["confidence", "held_out_correlation", "ceiling", "stability"]
      .map((name) => units[name][row]);
    const words = [];
    if (confidence !== null) words.push(`confidence ${confidence.toFixed(2)}`);
    if (heldOut !== null) words.push(`held-out ${heldOut.toFixed(2)}${ceiling === null ? "" : ` of ${ceiling.toFixed(2)}`}`);
    if (stability !== null) words.push(`stable ${Math.round(stability * CHOICES)} of ${CHOICES}`);
    if (!words.length) return null;
    const made = element("div", "fidelity", words.join(" · "));
    made.title = "how likely the label is right · its correlation with the unit on images that did not choose it, of the "
      + "ceiling, what the encoder sees of the unit · how many of the choices on four fifths of the images are the label";
    return made;
  };
  // the concepts of a sum as bars, to the left where the unit goes down with them
  const sum = (row) => {
    const made = element("div", "sum"), weights = units.weights[row];
    made.style.setProperty("--low", Math.min(0, ...weights));
    made.style.setProperty("--high", Math.max(0, ...weights));
    made.title = "the weight of each concept in the label, to the left where the unit goes down with it · its share of "
      + "what the label explains, where that is known";
    units.terms[row].forEach((concept, place) => {
      const share = units.shares[row][place], name = element("bdi", "", concept);
      name.title = concept;  // a long one is cut
      const bar = element("span", weights[place] < 0 ? "bar down" : "bar");
      bar.style.setProperty("--weight", weights[place]);
      made.append(name, bar, element("span", "", String(weights[place])),
        element("span", "", share === null ? "" : `${Math.round(100 * share)} %`));
    });
    return made;
  };
  // a link to a unit's page, which opens over this one
  const link = (row, ...shown) => {
    const made = element("a");
    made.href = `#units?${new URLSearchParams({ unit: names[row] })}`;
    made.append(...shown);
    made.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;  // the reader wants it elsewhere
      event.preventDefault();
      showUnit(row);
    });
    return made;
  };
  const label = (row) => {
    const concept = units.concept[row];
    return element("bdi", "", concept ?? (units.status[row] === "live" ? "no label" : `no label: ${units.status[row]}`));
  };
  // what stands beside a label
  const marks = (row) => {
    if (units.concept[row] === null) return [];
    const chip = element("span", "chip", units.category[row]);
    chip.style.setProperty("--dot", colors.get(units.category[row]) ?? colors.get("none"));
    const made = [chip];
    if (units.holds[row] === false) made.push(element("span", "denied", ` ${byId("gallery").dataset.denied}`));
    if (units.weights[row]?.[0] < 0) made.push(element("span", "denied", " goes down with it"));
    if (units.is_polysemantic[row]) made.push(element("span", "denied", " polysemantic"));
    return made;
  };
  const where = (row) => `${units.model[row]} · ${units.layer[row]} · unit ${units.unit[row]}`;
  // what is known of a label: all that it says, how far to believe it, its scores
  const facts = (row) => {
    const made = [];
    if (units.terms[row] !== null) made.push(sum(row));
    else if (units.explanation[row] !== null) made.push(element("div", "explanation", units.explanation[row]));
    if (units.concept[row] !== null) {
      const believed = fidelity(row);
      if (believed) made.push(believed);
      const scores = element("div", "scores");
      const q = units.q_value[row];
      scores.append(`${units.is_by_masks[row] ? "IoU" : "similarity"} ${units.similarity[row] ?? "unknown"}`);
      if (q !== null) scores.append(` · q ${q}`);
      if (units.runner_up[row] !== null) scores.append(" · then ", element("bdi", "", units.runner_up[row]));
      if (units.margin[row] !== null) scores.append(` (−${units.margin[row]})`);
      made.push(scores);
    }
    if (units.detected[row] !== null) {
      const detected = element("div", "scores", "by masks: ");
      detected.append(element("bdi", "", units.detected[row]), `, IoU ${units.detected_iou[row]}`);
      made.push(detected);
    }
    return made;
  };
  const card = (row) => {
    const made = element("article", "unit");
    const title = element("h4");
    title.append(link(row, label(row)), ...marks(row));
    made.append(title, element("div", "where", where(row)), ...facts(row));
    if (units.image_ids[row]?.length) {
      const pictures = element("div", "pictures");
      pictures.append(...units.image_ids[row].map((_, place) => picture(row, place)));
      made.append(pictures);
      if (hasCrops(row)) {
        const crops = element("div", "pictures");
        crops.title = "what the unit saw where it fired most: its receptive field";
        crops.append(...units.image_ids[row].map((_, place) => crop(row, place)));
        made.append(crops);
      }
    }
    return made;
  };
  const showMore = () => {
    const next = chosen.slice(shown, shown + CARDS_AT_ONCE);
    byId("gallery").append(...next.map(card));
    shown += next.length;
  };
  // what is typed is a unit's number, whole words of any concept of the label, or in quotation marks all of the first
  const fitting = (text) => {
    if (text === "") return () => true;
    if (/^".*"$/s.test(text)) return (row) => `"${lower[row]}"` === text;
    const escaped = text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
    const found = new RegExp(`(^|[^\\p{L}\\p{N}])${escaped}($|[^\\p{L}\\p{N}])`, "u");
    return (row) => String(units.unit[row]) === text || found.test(words[row]);
  };
  const filter = () => {
    const fits = fitting(byId("search").value.trim().toLowerCase());
    const model = byId("model").value, layer = byId("layer").value, category = byId("category").value;
    const held = byId("held")?.checked, sort = byId("sort").value;
    chosen = [];
    for (let row = 0; row < total; row += 1) {
      if (!fits(row)) continue;
      if (model && units.model[row] !== model) continue;
      if (layer && units.layer[row] !== layer) continue;
      if (category && (units.category[row] !== category || units.concept[row] === null)) continue;
      if (held && !units.holds[row]) continue;
      chosen.push(row);
    }
    if (sort !== "unit") chosen.sort((a, b) => (units[sort][b] ?? -Infinity) - (units[sort][a] ?? -Infinity));
    byId("gallery").replaceChildren();
    shown = 0;
    byId("count").textContent = `${chosen.length.toLocaleString("en")} of ${total.toLocaleString("en")} units`;
    byId("no-units").hidden = chosen.length > 0;
    showMore();
  };
  const choose = () => {
    filter();
    writeAddress("units");
  };
  // those that a bar or a point stands for; of all layers where the bar is, since none is called so
  const showUnits = ({ concept, model, layer, unit }) => {
    byId("filters").reset();
    byId("search").value = unit === undefined ? `"${asItWas(concept)}"` : unit;
    for (const [filter, value] of [["model", asItWas(model)], ["layer", asItWas(layer)]]) {
      if ([...byId(filter).options].some((option) => option.value === value)) byId(filter).value = value;
    }
    choose();
    byId("units").scrollIntoView({ behavior: "smooth" });
  };
  byId("filters").addEventListener("input", choose);
  byId("filters").addEventListener("reset", () => setTimeout(choose));
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting) && shown < chosen.length) showMore();
  }, { rootMargin: "600px" }).observe(byId("more"));

  // --- the page of a unit, which stands in the address as a control does ------------------------------------------
  const showUnit = (row) => {
    byId("unit-shown").value = names[row];
    unitPage.show(row);
    writeAddress("units");
  };
  const showAsked = () => {
    const row = rowsByName.get(byId("unit-shown").value);
    if (row !== undefined) return unitPage.show(row);
    byId("unit-shown").value = "";
    unitPage.close();
  };
  const unitPage = makeUnitPage({ units, images, details: read("detail-data"), element, link, label, marks, where, facts,
    picture, crop, hasCrops,
    after: (row, step) => chosen[chosen.indexOf(row) + step],
    isChosen: (row) => chosen.includes(row),
    showUnit,
    closed: () => {
      byId("unit-shown").value = "";
      writeAddress("units");
    },
  });

  if (address().state) readAddress();
  filter();
  showAsked();
  for (const part of document.querySelectorAll("[data-labels]")) part.hidden = part.dataset.labels !== byId("counted").value;
  draw().then(() => address().state && showSection());  // only now is each section at its place
})();
