// Installs the real agents that the end-to-end tests drive, on demand: they are far too large (0.8 GB) to be
// dependencies of everybody who works on the project. Each has a folder of its own below node_modules/.cache/agents, at
// an exact version, and is installed once. Without a network nothing fails: its tests are skipped and say so, in one
// line. `.ci/run` comes through here; by hand: `node scripts/agents.mjs [name ...]`.
import { install } from "./onDemand.mjs"

/**
 * Install scripts of packages don't run. One agent needs its own, which only puts the program for this system where
 * npm's link to it leads, so it is named here.
 * @type {Readonly<Record<string, import("./onDemand.mjs").Wanted>>}
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

const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(AGENTS)
for (const name of names) {
  const agent = AGENTS[name]
  const known = Object.keys(AGENTS).join(", ")
  const why = agent === undefined ? `there is no such agent; there are: ${known}` : install("agents", name, agent)
  if (why !== undefined) console.error(`agents: ${name} is not installed, its tests are skipped (${why})`)
}
