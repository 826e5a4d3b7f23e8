// Installs the real agents that the end-to-end tests drive, on demand: they are far too large (0.8 GB) to be
// dependencies of everybody who works on the project. Each has a folder of its own below node_modules/.cache/agents, at
// an exact version, and is installed once. Without a network nothing fails: its tests are skipped and say so, in one
// line. `.ci/run` comes through here; by hand: `node scripts/agents.mjs [name ...]`. Imports only node: modules.
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const cache = join(root, "node_modules/.cache/agents")
/** Minutes that one installation may take. */
const longest = 8

/**
 * Install scripts of packages don't run. One agent needs its own, which only puts the program for this system where
 * npm's link to it leads, so it is named here.
 * @type {Readonly<Record<string, { packages: ReadonlyArray<string>, setup?: string, program: string }>>}
 */
const AGENTS = {
  "claude-code": {
    packages: ["@anthropic-ai/claude-code@2.1.329"],
    setup: "node_modules/@anthropic-ai/claude-code/install.cjs",
    program: "node_modules/.bin/claude"
  },
  "claude-agent-acp": {
    packages: ["@agentclientprotocol/claude-agent-acp@0.100.0"],
    program: "node_modules/.bin/claude-agent-acp"
  },
  // The last version of the protocol's SDK that comes with its example agent.
  "acp-example": {
    packages: ["@agentclientprotocol/sdk@1.9.0", "zod@4.6.7"],
    program: "node_modules/@agentclientprotocol/sdk/dist/examples/agent.js"
  }
}

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
 * @param {string} name
 * @returns {string | undefined} why it is not there
 */
const install = (name) => {
  const agent = AGENTS[name]
  if (agent === undefined) return `there is no agent "${name}"; there are: ${Object.keys(AGENTS).join(", ")}`
  const folder = join(cache, name)
  const stamp = join(folder, "installed")
  const wanted = agent.packages.join(" ")
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return undefined
  console.error(`installing ${wanted} ...`)
  // Beside its place until it is whole: tests that run meanwhile see all of it or nothing.
  const making = `${folder}.${process.pid}`
  rmSync(making, { recursive: true, force: true })
  mkdirSync(making, { recursive: true })
  writeFileSync(join(making, "package.json"), `{ "private": true }\n`)
  const options = ["--ignore-scripts", "--no-audit", "--no-fund", "--save-exact", "--loglevel=error"]
  const why =
    run("npm", ["install", ...options, "--prefer-offline", "--fetch-retries=1", ...agent.packages], making) ??
    (agent.setup === undefined ? undefined : run(process.execPath, [agent.setup], making)) ??
    (existsSync(join(making, agent.program)) ? undefined : `${agent.program} is not in it`)
  if (why !== undefined) {
    rmSync(making, { recursive: true, force: true })
    return why
  }
  writeFileSync(join(making, "installed"), wanted)
  rmSync(folder, { recursive: true, force: true })
  renameSync(making, folder)
  return undefined
}

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(AGENTS)
for (const name of names) {
  const why = install(name)
  if (why !== undefined) console.error(`agents: ${name} is not installed, its tests are skipped (${why})`)
}
