// Installs packages that are far too large to be dependencies of everybody who works on the project: real agents, the
// library that runs models. Each has a folder of its own below node_modules/.cache, at exact versions, and is installed
// once. Without a network nothing fails: its tests are skipped and say so, in one line. Imports only node: modules.
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
/** Minutes that one installation may take. */
const longest = 3

/**
 * What is installed. Install scripts of packages don't run; one that is needed is named. `program` is a file that must be
 * there afterwards.
 * @typedef {{ packages: ReadonlyArray<string>, setup?: string, program: string }} Wanted
 */

/**
 * @param {string} program
 * @param {ReadonlyArray<string>} args
 * @param {string} cwd
 * @returns {string | undefined} why it failed
 */
const run = (program, args, cwd) => {
  const { status, signal, error, stderr, stdout } = spawnSync(program, args, {
    cwd,
    // Without a network the default is to try again for a while before one hears of it.
    env: { ...process.env, npm_config_fetch_retry_mintimeout: "1000", npm_config_fetch_retry_maxtimeout: "5000" },
    encoding: "utf8",
    timeout: longest * 60_000,
    killSignal: "SIGKILL",
    stdio: ["ignore", "pipe", "pipe"],
    shell: process.platform === "win32"
  })
  if (status === 0) return undefined
  if (error !== undefined) return /** @type {NodeJS.ErrnoException} */ (error).code ?? error.message
  const said = `${stderr}${stdout}`.split("\n").filter((line) => line.trim() !== "")
  return said.find((line) => line.startsWith("npm error")) ?? said.at(-1) ?? `${program} ended with ${status ?? signal}`
}

/**
 * Installs it below `node_modules/.cache/<room>/<name>`, unless it is there already.
 * @param {string} room
 * @param {string} name
 * @param {Wanted} wanted
 * @returns {string | undefined} why it is not there
 */
export const install = (room, name, { packages, program, setup }) => {
  const folder = join(root, "node_modules/.cache", room, name)
  const stamp = join(folder, "installed")
  const wanted = packages.join(" ")
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return undefined
  console.error(`installing ${wanted} ...`)
  // Beside its place until it is whole: tests that run meanwhile see all of it or nothing.
  const making = `${folder}.${process.pid}`
  rmSync(making, { recursive: true, force: true })
  mkdirSync(making, { recursive: true })
  writeFileSync(join(making, "package.json"), `{ "private": true }\n`)
  const options = ["--ignore-scripts", "--no-audit", "--no-fund", "--save-exact", "--loglevel=error"]
  const why =
    run("npm", ["install", ...options, "--prefer-offline", "--fetch-retries=1", ...packages], making) ??
    (setup === undefined ? undefined : run(process.execPath, [setup], making)) ??
    (existsSync(join(making, program)) ? undefined : `${program} is not in it`)
  if (why !== undefined) {
    rmSync(making, { recursive: true, force: true })
    return why
  }
  writeFileSync(join(making, "installed"), wanted)
  rmSync(folder, { recursive: true, force: true })
  renameSync(making, folder)
  return undefined
}
