// Copies the few front-end files that the portal serves from node_modules to static/vendor.
//
//   npm ci --ignore-scripts && node scripts/build_assets.mjs
//
// static/vendor is not committed: package-lock.json pins every byte, and manifest.json (SHA-256 of what was
// copied) lets pages name each file with its hash, so that browsers may keep it for ever.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const modules = join(root, 'node_modules');
const vendor = join(root, 'static', 'vendor');
const fresh = `${vendor}.new`;

const FILES = {
  'htmx.min.js': 'htmx.org/dist/htmx.min.js',
  'tabler.min.css': '@tabler/core/dist/css/tabler.min.css',
  'echarts.min.js': 'echarts/dist/echarts.min.js',
};

function fail(sentence) {
  console.error(`build_assets: ${sentence}`);
  process.exit(1);
}

/** The `d` of each path of an outline icon. Pages draw them inline, so that they take the text's colour. */
function iconPaths(name) {
  const file = join(modules, '@tabler/icons/icons/outline', `${name}.svg`);
  if (!existsSync(file)) fail(`static/icons.txt names "${name}", which @tabler/icons does not have`);
  const body = readFileSync(file, 'utf8').replace(/^[\s\S]*?<svg[^>]*>|<\/svg>\s*$/g, '');
  // The first path of each file is an invisible square that only reserves the 24 × 24 area.
  const drawn = [...body.matchAll(/<path\b[^>]*\/>/g)].map((match) => match[0]).filter((path) => !path.includes('stroke="none"'));
  const paths = drawn.map((path) => path.match(/\bd="([^"]+)"/)[1]);
  // Anything but paths would be lost silently: better to choose another icon than to draw half of one.
  if (body.replace(/<path\b[^>]*\/>/g, '').trim()) fail(`icon "${name}" is made of more than paths`);
  return paths;
}

function iconNames() {
  const lines = readFileSync(join(root, 'static', 'icons.txt'), 'utf8').split('\n');
  return [...new Set(lines.map((line) => line.replace(/#.*/, '').trim()).filter(Boolean))].sort();
}

if (!existsSync(modules)) fail('node_modules is missing; run "npm ci --ignore-scripts" first');

rmSync(fresh, { recursive: true, force: true });
mkdirSync(fresh, { recursive: true });

const manifest = {};
function put(name, bytes) {
  writeFileSync(join(fresh, name), bytes);
  manifest[name] = { sha256: createHash('sha256').update(bytes).digest('hex'), bytes: bytes.length };
}

for (const [name, source] of Object.entries(FILES)) {
  const from = join(modules, source);
  if (!existsSync(from)) fail(`${source} is missing; run "npm ci --ignore-scripts"`);
  // Source maps are not served, and a browser's tools would ask for them in vain.
  const text = readFileSync(from, 'utf8').replace(/\n?(\/\/|\/\*)# sourceMappingURL=.*$/gm, '');
  put(name, Buffer.from(text));
}
const icons = Object.fromEntries(iconNames().map((name) => [name, iconPaths(name)]));
put('icons.json', Buffer.from(JSON.stringify(icons)));
writeFileSync(join(fresh, 'manifest.json'), `${JSON.stringify(manifest, null, 2)}\n`);

// Swapped in whole: a server that runs meanwhile never sees half a folder for longer than two renames.
rmSync(`${vendor}.old`, { recursive: true, force: true });
if (existsSync(vendor)) renameSync(vendor, `${vendor}.old`);
renameSync(fresh, vendor);
rmSync(`${vendor}.old`, { recursive: true, force: true });

for (const [name, { bytes }] of Object.entries(manifest)) {
  console.log(`static/vendor/${name}  ${(bytes / 1024).toFixed(0)} KB`);
}
