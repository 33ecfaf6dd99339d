"use strict";
// Exclusions as the file that the workflow reads (winnow.cluster.exclude), and the agreement of two such files.

const HEADER = "# clustering ";

// A reason on one line: what Python takes for the end of a line, and other control characters, become blanks.
function oneLine(reason) {
  return reason.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, " ").replace(/\s+/g, " ").trim();
}

// The file. reasons: Map of cluster to reason.
function writeExclusions(fingerprint, reasons) {
  const rows = [...reasons].sort((a, b) => a[0] - b[0]).map(([cluster, reason]) => `${cluster}\t${oneLine(reason)}`);
  return [HEADER + fingerprint, "cluster\treason", ...rows].join("\n") + "\n";
}

// Map of cluster to reason of a file's text. Throws an Error with one line that names the row.
function readExclusions(text, fingerprint, clusters, file) {
  const lines = text.replace(/^\ufeff/, "").split(/\r\n|\r|\n/);
  if (!lines[0].startsWith(HEADER)) throw new Error(`${file}, line 1: must be "${HEADER}${fingerprint}"`);
  const given = lines[0].slice(HEADER.length).trim();
  if (given !== fingerprint) {
    throw new Error(`${file}, line 1: was written for clustering ${given}, but this clustering is ${fingerprint}`);
  }
  const reasons = new Map();
  lines.forEach((line, i) => {
    const fields = line.split("\t");
    if (i === 0 || !line.trim() || line.startsWith("#") || fields[0] === "cluster") return;
    const place = `${file}, line ${i + 1}`;
    const cluster = /^\d+$/.test(fields[0].trim()) ? Number(fields[0]) : NaN;
    if (fields.length < 2 || !oneLine(fields[1])) throw new Error(`${place}: must be "cluster<TAB>reason"`);
    if (!(cluster < clusters)) throw new Error(`${place}: cluster "${fields[0]}" is not in 0 to ${clusters - 1}`);
    if (reasons.has(cluster)) throw new Error(`${place}: duplicate of cluster ${cluster}; remove one of them`);
    reasons.set(cluster, oneLine(fields[1]));
  });
  return reasons;
}

// Agreement of two raters over clusters that each excludes or does not. mine, theirs: something with has(cluster).
// kappa (Cohen 1960) is null where both decided the same for all clusters: chance alone then agrees always.
function agreement(clusters, mine, theirs) {
  const count = { both: 0, mine: 0, theirs: 0, neither: 0 };
  const disputed = [];
  for (const cluster of clusters) {
    const [a, b] = [mine.has(cluster), theirs.has(cluster)];
    count[a && b ? "both" : a ? "mine" : b ? "theirs" : "neither"] += 1;
    if (a !== b) disputed.push(cluster);
  }
  const n = clusters.length;
  const observed = (count.both + count.neither) / n;
  const a = (count.both + count.mine) / n;
  const b = (count.both + count.theirs) / n;
  const chance = a * b + (1 - a) * (1 - b);
  return { ...count, observed, kappa: chance < 1 ? (observed - chance) / (1 - chance) : null, disputed };
}
