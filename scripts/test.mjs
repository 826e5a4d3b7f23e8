// `npm test`: format, lint and types side by side, then the bundle, then all tests, and one last line with the counts.
// The counts are the test runner's own; a static check, a bundle or a test file that fails to load is one failure each,
// so that nothing that is broken can hide behind a green number. `npm test -- <words>` skips the static checks and hands
// the words to the runner: parts of file names, or `-t D13` for the tests whose names contain D13.
import { spawn, spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { bundle, reason } from "./bundle.mjs"
import { count, line } from "./count.mjs"

/** @typedef {{ ok: boolean, output: string }} Outcome */

const root = dirname(dirname(fileURLToPath(import.meta.url)))
/** @param {string} name */
const tool = (name) => join(root, "node_modules/.bin", name)
const filters = process.argv.slice(2)
/** Minutes after which the tests are ended: hanging ones must not hold a build machine. They take a few. */
const longest = 14
/** @param {number} since */
const seconds = (since) => `${((performance.now() - since) / 1000).toFixed(1)} s`

/**
 * Runs a command to its end and keeps what it prints, so that checks that run side by side don't mix their lines.
 * @param {string} command
 * @param {ReadonlyArray<string>} args
 * @returns {Promise<Outcome>}
 */
const run = (command, args) =>
  new Promise((resolve) => {
    const child = spawn(command, args, { cwd: root, stdio: ["ignore", "pipe", "pipe"] })
    /** @type {Array<Buffer>} */
    const chunks = []
    child.stdout.on("data", (chunk) => chunks.push(chunk))
    child.stderr.on("data", (chunk) => chunks.push(chunk))
    child.on("error", (error) => resolve({ ok: false, output: `${error.message}\n` }))
    child.on("close", (code) => resolve({ ok: code === 0, output: Buffer.concat(chunks).toString() }))
  })

/**
 * The compiler with Effect's diagnostics: unlike plain tsc it fails on an effect that nobody runs.
 * @returns {Promise<Outcome>}
 */
const types = async () => {
  const { stdout, status } = spawnSync(tool("effect-tsgo"), ["get-exe-path"], { encoding: "utf8" })
  if (status !== 0) return { ok: false, output: "effect-tsgo does not say where its compiler is\n" }
  return run(stdout.trim(), ["-p", "tsconfig.json"])
}

const checks = {
  format: () => run(tool("oxfmt"), ["--check"]),
  lint: () => run(tool("oxlint"), ["--deny-warnings"]),
  types
}

/**
 * @param {string} name
 * @param {() => Promise<Outcome>} check
 */
const step = async (name, check) => {
  const started = performance.now()
  const { ok, output } = await check()
  console.log(`${ok ? "ok  " : "FAIL"}  ${name.padEnd(7)} ${seconds(started)}`)
  if (!ok) process.stdout.write(output.endsWith("\n") ? output : `${output}\n`)
  return ok
}

const building = async () => {
  try {
    await bundle()
    return { ok: true, output: "" }
  } catch (cause) {
    return { ok: false, output: `${reason(cause)}\n` }
  }
}

/**
 * The runner's report, or undefined when the runner itself broke down.
 * @param {string} file
 * @returns {import("./count.mjs").Report | undefined}
 */
const readReport = (file) => {
  try {
    return JSON.parse(readFileSync(file, "utf8"))
  } catch {
    return undefined
  }
}

/**
 * Where the tests put their files: where the system wants them, unless nothing can be made or run there, as on a file
 * system that is mounted `noexec`.
 */
const temporary = () => {
  const probe = () => {
    const folder = mkdtempSync(join(tmpdir(), "sluice-probe-"))
    try {
      writeFileSync(join(folder, "run"), "#!/bin/sh\n", { mode: 0o755 })
      return spawnSync(join(folder, "run")).status === 0
    } finally {
      rmSync(folder, { recursive: true })
    }
  }
  try {
    if (probe()) return resolve(tmpdir())
  } catch {
    // There is no such folder, or it is not for this user.
  }
  const folder = join(root, ".tmp")
  mkdirSync(folder, { recursive: true })
  console.log(`nothing can be run in ${tmpdir()}, so the files of the tests are in ${folder}`)
  return folder
}

/** @returns {Promise<import("./count.mjs").Counts>} */
const tests = () =>
  new Promise((resolve) => {
    mkdirSync(join(root, "node_modules/.cache"), { recursive: true })
    const folder = mkdtempSync(join(root, "node_modules/.cache/report-"))
    const report = join(folder, "report.json")
    const args = ["run", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`, ...filters]
    // Whoever forces colours would have every program warn on its standard error that it is told both.
    const plain = process.stdout.isTTY ? {} : { NO_COLOR: "1", FORCE_COLOR: undefined }
    const env = { ...process.env, TMPDIR: temporary(), ...plain }
    const child = spawn(tool("vitest"), args, { cwd: root, env, stdio: ["ignore", "inherit", "inherit"] })
    // The first request lets the runner report what it has, the second is for tests that don't let go.
    const cancel = setTimeout(() => {
      console.log(`the tests take longer than ${longest} minutes and are ended`)
      child.kill("SIGINT")
    }, longest * 60_000)
    const kill = setTimeout(() => child.kill("SIGKILL"), longest * 60_000 + 20_000)
    child.on("error", () => resolve(count(undefined, 1)))
    child.on("close", (code) => {
      clearTimeout(cancel)
      clearTimeout(kill)
      const result = readReport(report)
      rmSync(folder, { recursive: true, force: true })
      resolve(count(result, code))
    })
  })

const steps = filters.length === 0 ? Object.entries(checks).map(([name, check]) => step(name, check)) : []
const results = [...(await Promise.all(steps)), await step("bundle", building)]
const started = performance.now()
const counts = await tests()
const failed = counts.failed + results.filter((ok) => !ok).length
console.log(`${counts.failed === 0 ? "ok  " : "FAIL"}  tests   ${seconds(started)}`)
console.log(line({ ...counts, failed }))
process.exitCode = failed === 0 ? 0 : 1
