"use strict";
// Asks the server of `halluc view` whether runs have grown, and loads the page again if so.
let stamp = null;
setInterval(async () => {
  try {
    const now = await (await fetch("stamp")).text();
    if (stamp !== null && now !== stamp) location.reload();
    stamp = now;
  } catch { /* the server has ended; the page stays */ }
}, 2000);
