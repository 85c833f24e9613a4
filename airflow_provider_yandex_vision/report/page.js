"use strict";
const byId = (id) => document.getElementById(id);
const site = byId("site"), text = byId("text");

function filter() {
  const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
  let visible = 0;
  for (const section of document.querySelectorAll("section.site")) {
    let left = 0;
    for (const card of section.querySelectorAll(".card")) {
      const facts = [...card.querySelectorAll("h3, .address, .decision, dd")];
      const content = facts.map((fact) => fact.textContent).join(" ").toLowerCase();
      card.hidden = (site.value !== "" && site.value !== section.dataset.site) || !words.every((word) => content.includes(word));
      left += !card.hidden;
    }
    section.hidden = left === 0;
    visible += left;
  }
  byId("visible").textContent = visible.toLocaleString(document.documentElement.lang);
  byId("none-visible").hidden = visible > 0 || !document.querySelector(".card");
}

function load(button) {
  const picture = document.createElement("img");
  picture.referrerPolicy = "no-referrer";
  picture.alt = button.dataset.alt;
  picture.addEventListener("error", () => {
    const failed = document.createElement("p");
    failed.className = "empty";
    failed.textContent = button.dataset.failed;
    picture.replaceWith(failed);
  });
  picture.src = button.dataset.src;
  button.replaceWith(picture);
}

document.querySelector("form.filter").hidden = false;
for (const button of document.querySelectorAll("button.load")) {
  button.hidden = false;
  button.addEventListener("click", () => load(button));
}
site.addEventListener("change", filter);
text.addEventListener("input", filter);
byId("side-by-side").addEventListener("change", (event) => document.body.classList.toggle("side-by-side", event.target.checked));
document.querySelector("form.filter").addEventListener("submit", (event) => event.preventDefault());
