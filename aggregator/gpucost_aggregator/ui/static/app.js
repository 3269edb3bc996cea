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
})();
