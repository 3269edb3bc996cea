/* Enhancement only: every page reads, links and exports without this file. */
(function () {
  "use strict";
  const root = document.documentElement;
  const keep = (theme) => { try { localStorage.setItem("gpucost-theme", theme); } catch { /* private mode */ } };

  /* theme: the link alone works through the URL; here it needs no reload and is remembered */
  document.addEventListener("click", (event) => {
    const link = event.target.closest("[data-theme-to]");
    if (!link) return;
    event.preventDefault();
    root.dataset.theme = link.dataset.themeTo;
    keep(root.dataset.theme);
    const url = new URL(location.href);
    if (url.searchParams.has("theme")) { url.searchParams.delete("theme"); history.replaceState(null, "", url); }
  });

  /* copy a command */
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    try { await navigator.clipboard.writeText(button.dataset.copy); button.textContent = "Copied"; }
    catch { button.textContent = "Select"; getSelection().selectAllChildren(button.previousElementSibling); }
    setTimeout(() => { button.textContent = "Copy"; }, 1600);
  });

  /* one menu at a time; Escape and a click elsewhere close it */
  const menus = [...document.querySelectorAll("details.menu")];
  document.addEventListener("click", (event) => { for (const menu of menus) if (!menu.contains(event.target)) menu.open = false; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape") for (const menu of menus) menu.open = false; });

  /* a table that scrolls sideways can be reached by keyboard */
  const reach = () => document.querySelectorAll(".tw").forEach((box) => {
    if (box.scrollWidth <= box.clientWidth + 1) return;
    box.tabIndex = 0;
    box.setAttribute("role", "group");
    box.setAttribute("aria-label", (box.closest(".panel")?.querySelector("h2")?.textContent || "Table") + ", scrolls sideways");
  });
  reach();
  addEventListener("resize", reach);

  /* what is true now: rows whose devices changed since the last complete window, and how fresh that is */
  const fresh = document.querySelector("[data-live]");
  const say = (element, text) => { if (!element) return; element.was ??= element.textContent; element.textContent = text ?? element.was; };
  const ago = (seconds) => Math.max(1, Math.floor(seconds)) + " s ago";
  const seen = (row, told) => {
    const devices = row.dataset.devices.split(" "), pod = row.dataset.pod;
    const on = told.filter((each) => devices.includes([each.gpu_uuid, each.gi ?? "", each.ci ?? ""].join(":")));
    const own = on.filter((each) => each.holder_kind === "container" && (!pod || [each.cluster, each.namespace, each.pod, each.pod_uid ?? ""].join("/") === pod));
    const used = (each) => each.used_ratio > 0;
    const since = on.length ? "since a moment, " + ago(Math.min(...on.map((each) => each.age_seconds))) : "";
    if (!pod && own.some((each) => each.reserved_ratio > 0)) return ["Taken", since];
    if ((pod ? own : on).some(used) || (pod && on.some((each) => each.holder_kind === "unattributed" && used(each)))) return ["In use", since];
    return pod && own.length && own.every((each) => !each.unmeasured_ratio) ? ["quiet now"] : [];
  };
  const silence = ({ asked, answered, silent }) => {
    const quiet = asked - answered, names = silent ?? [], more = names.length - 3;
    const which = names.slice(0, 3).concat(more > 0 ? [more + " more"] : []).join(", ");
    return quiet ? quiet + " of " + asked + " aggregators did not answer" + (which && " (" + which + ")") + ": what " + (quiet === 1 ? "its" : "their") + " nodes do now is not shown." : "";
  };
  const show = (answer) => {
    let changed = 0;
    say(document.querySelector(".silence"), silence(answer.replicas));
    for (const row of document.querySelectorAll("tr[data-devices]")) {
      const [state, since] = seen(row, answer.rows), lately = row.querySelector(".lately"), now = row.querySelector(".now");
      if (lately) { say(lately, state === "quiet now" ? state : state && lately.textContent ? "in use " + since : ""); continue; }
      say(now, since && state);
      say(row.querySelector(".since"), since);
      const mark = row.querySelector(".tank");
      mark.was ??= mark.className;
      mark.className = since ? "tank t-part" : mark.was;
      if (now.textContent !== now.was) changed += 1;
    }
    const { heard, expected } = answer.nodes, asOf = fresh.dataset.asOf;
    const missing = expected > heard ? "no live data from " + (expected - heard) + " of " + expected + (expected === 1 ? " node" : " nodes") : "";
    const ages = answer.rows.map((each) => each.age_seconds);
    const words = ages.length ? "Live, " + ago(Math.max(...ages)) + (missing && "; " + asOf + ", " + missing) : "As" + asOf.slice(2) + ", " + (missing || "no live data");
    fresh.textContent = words + (changed ? " · " + changed + " below " + (changed === 1 ? "has" : "have") + " changed since then: load again for the sums" : "");
  };
  const look = async () => {
    if (!document.hidden) {
      try {
        const answer = await fetch(fresh.dataset.live, { headers: { Accept: "application/json" } });
        if (!answer.ok) throw new Error(answer.status);
        show(await answer.json());
      } catch { fresh.textContent = "As" + fresh.dataset.asOf.slice(2) + ", no live data"; }
    }
    setTimeout(look, 1000 * Math.max(1, fresh.dataset.every));
  };
  if (fresh) setTimeout(look, 1000 * Math.max(1, fresh.dataset.every));
})();
