// The real agents that scripts/agents.mjs installs on demand. Where one is missing its tests are skipped.
import { existsSync } from "node:fs"
import { join } from "node:path"

const cache = join(import.meta.dirname, "../../../node_modules/.cache/agents")

const program = (name: string, path: string): string | undefined =>
  existsSync(join(cache, name, "installed")) ? join(cache, name, path) : undefined

/** The Claude Code CLI. */
export const claude = program("claude-code", "node_modules/.bin/claude")

/** The adapter that makes it speak the Agent Client Protocol; run it with node. */
export const claudeAcp = program("claude-agent-acp", "node_modules/@agentclientprotocol/claude-agent-acp/dist/index.js")

/** The example agent of the protocol's SDK; run it with node. */
export const acpExample = program("acp-example", "node_modules/@agentclientprotocol/sdk/dist/examples/agent.js")

/** What a skipped suite's name says. */
export const missing = "(skipped: run `node scripts/agents.mjs` once with a network)"
