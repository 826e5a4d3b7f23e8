// Bundles the program `sluice` into apps/gateway/dist, only when something that it is made of has changed: from the
// bundle it starts in a third of the time and two thirds of the memory that it needs from source. `npm start`,
// `npm test` and the process tests all come through here.
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs"
import { basename, dirname, join, relative } from "node:path"
import { fileURLToPath } from "node:url"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const dist = join(root, "apps/gateway/dist")
const stamp = join(dist, ".stamp")
const entry = "apps/gateway/src/bin.ts"
const program = "apps/gateway/src/main.ts"

// A worker thread is loaded by file, not by import, so its file is a bundle of its own, and CommonJS: a thread that loads
// no module but its own takes a megabyte less. The convention that holds both from source and from the bundle: the
// worker's file name is unique in the project, the bundle has it as a sibling of every chunk under the same name, and
// the code that starts it asks where it is itself:
//
//   const extension = import.meta.url.endsWith(".ts") ? "ts" : "cjs"
//   new Worker(new URL(`./watchdogWorker.${extension}`, import.meta.url))
//
// That is why all chunks lie flat in dist/. The tidy test compares this list with the workers that the sources have.
const WORKERS = ["apps/gateway/src/watchdog/watchdogWorker.ts", "packages/pools/src/internal/node/onnxWorker.ts"]

/** What `node` runs: the bundle's entry. */
export const bin = join(dist, "bin.js")

/** @param {string} folder */
const entries = (folder) => (existsSync(folder) ? readdirSync(folder, { withFileTypes: true }) : [])

/** @param {string} folder @returns {Generator<string>} */
function* sources(folder) {
  for (const item of entries(folder)) {
    const path = join(folder, item.name)
    if (item.isDirectory()) yield* sources(path)
    else yield path
  }
}

/** Names, sizes and times of all inputs: a few hundred stats, where reading them would cost more than the start. */
const fingerprint = () => {
  const hash = createHash("sha256")
  /** @param {string} path */
  const add = (path) => {
    if (!existsSync(path)) return
    const { mtimeMs, size } = statSync(path)
    hash.update(`${relative(root, path)} ${size} ${mtimeMs}\n`)
  }
  for (const path of ["package.json", "pnpm-lock.yaml", "tsconfig.base.json", "scripts/bundle.mjs"]) {
    add(join(root, path))
  }
  for (const item of entries(join(root, "patches"))) add(join(root, "patches", item.name))
  const rooms = entries(join(root, "packages")).map((item) => join(root, "packages", item.name))
  for (const room of [...rooms, join(root, "apps/gateway")]) {
    add(join(room, "package.json"))
    for (const path of sources(join(room, "src"))) add(path)
  }
  return hash.digest("hex")
}

/**
 * Bundles one entry.
 * @param {string} path
 * @param {import("rolldown").OutputOptions} output
 */
const bundled = async (path, output) => {
  const { rolldown } = await import("rolldown")
  const bundle = await rolldown({
    cwd: root,
    input: { [basename(path, ".ts")]: join(root, path) },
    external: path === entry ? [/main\.ts$/] : [],
    platform: "node",
    tsconfig: false,
    treeshake: true,
    // What the tools import on demand may be in the program's chunk already.
    checks: { ineffectiveDynamicImport: false }
  })
  try {
    const made = await bundle.generate({
      ...output,
      chunkFileNames: "[name]-[hash].cjs",
      minify: true,
      keepNames: true,
      sourcemap: true,
      sourcemapExcludeSources: true
    })
    return made.output
  } finally {
    await bundle.close()
  }
}

/**
 * The program comes in chunks, so that each command loads what it needs. All that `sluice run` needs is one of them:
 * between chunks of CommonJS a name is looked up each time that it is used, which the gateway would pay for as long as
 * it runs. CommonJS, because only scripts can be compiled ahead; apps/gateway/src/process/Compiled.ts runs them.
 * @type {import("rolldown").OutputOptions}
 */
const chunks = {
  format: "cjs",
  entryFileNames: "[name].cjs",
  codeSplitting: { groups: [{ name: "gateway", test: /apps\/gateway\/src\/(main|Program)\.ts$/ }] }
}

const build = async () => {
  const workers = WORKERS.map((path) => bundled(path, { format: "cjs", entryFileNames: "[name].cjs" }))
  const first = bundled(entry, { format: "esm", entryFileNames: "[name].js" })
  const scripts = bundled(program, chunks).then((files) =>
    files.map((file) => (file.type === "chunk" ? script(file) : file))
  )
  return (await Promise.all([first, scripts, ...workers])).flat()
}

/**
 * A chunk as the program wants it: a function, so that nothing has to be put around it in memory, and in plain ASCII,
 * where a source takes a byte a character; one arrow in a notice would make it two for all of them.
 * @param {import("rolldown").OutputChunk} chunk
 */
const script = (chunk) => ({
  ...chunk,
  code: `(function (exports, require, module, __filename, __dirname) {\n${chunk.code.replace(
    /[^\0-\x7f]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`
  )}\n})`
})

/**
 * What earlier builds left. It stays for a day: a gateway that is running may still import a chunk of them.
 * @param {string} folder
 * @param {ReadonlySet<string>} names
 */
const prune = (folder, names) => {
  const yesterday = Date.now() - 24 * 60 * 60 * 1000
  for (const { name } of entries(folder)) {
    const path = join(folder, name)
    if (!names.has(name) && statSync(path).mtimeMs < yesterday) rmSync(path, { recursive: true, force: true })
  }
}

/**
 * A file appears whole or not at all, the entry last.
 * @param {ReadonlyArray<import("rolldown").OutputChunk | import("rolldown").OutputAsset>} output
 */
const write = (output) => {
  mkdirSync(dist, { recursive: true })
  const names = new Set(output.map((file) => file.fileName))
  const entryLast = [...output].sort((a, b) => Number(a.fileName === "bin.js") - Number(b.fileName === "bin.js"))
  for (const file of entryLast) {
    const target = join(dist, file.fileName)
    const temporary = `${target}.${process.pid}`
    const mode = file.fileName === "bin.js" ? 0o755 : 0o644
    writeFileSync(temporary, file.type === "chunk" ? file.code : file.source, { mode })
    renameSync(temporary, target)
  }
  prune(join(dist, "compiled"), names)
  prune(dist, new Set([...names, ".stamp", "compiled"]))
}

/** Builds when needed. Returns whether it did. */
export const bundle = async () => {
  const wanted = fingerprint()
  if (existsSync(stamp) && existsSync(bin) && readFileSync(stamp, "utf8") === wanted) return false
  write(await build())
  writeFileSync(stamp, wanted)
  return true
}

/** What went wrong, in the bundler's own words and without its stack. @param {unknown} cause */
export const reason = (cause) => (cause instanceof Error ? cause.message.trim() : String(cause))

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const started = performance.now()
  try {
    const built = await bundle()
    console.log(built ? `bundled in ${Math.round(performance.now() - started)} ms` : "the bundle is up to date")
  } catch (cause) {
    console.error(reason(cause))
    process.exitCode = 1
  }
}
