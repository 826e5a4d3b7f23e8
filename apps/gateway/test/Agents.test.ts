// Agents of a configuration: their secrets come from files and stay out of everything that is printed, and a reload
// leaves alone whoever is configured as before, because a new agent would end a process that is kept warm.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { chmodSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Agents from "../src/agents/Agents.ts"
import * as Sources from "../src/configuration/Sources.ts"
import * as Findings from "../src/tools/Findings.ts"
import { start, temporaryFolder } from "./harness.ts"

const loaded = (folder: string, agents: string) =>
  Effect.suspend(() => {
    writeFileSync(join(folder, "sluice.yaml"), `agents:\n${agents}`)
    return Sources.load({ environment: {}, folder })
  })

describe("agents over a reload", () => {
  it.effect("stay the same ones while their configuration and their secrets do", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const key = join(folder, "key")
      writeFileSync(key, "first-key\n", { mode: 0o600 })
      const text = "  a: { kind: demo }\n  b: { kind: command, argv: [cat], secrets: { KEY: key } }\n"
      const before = yield* Agents.make(yield* loaded(folder, text))
      const again = yield* Agents.make(yield* loaded(folder, text), { made: before })
      assert.strictEqual(again.agents["a"], before.agents["a"])
      assert.strictEqual(again.agents["b"], before.agents["b"])
      writeFileSync(key, "second-key\n")
      const rotated = yield* Agents.make(yield* loaded(folder, text), { made: again })
      assert.strictEqual(rotated.agents["a"], before.agents["a"])
      assert.notStrictEqual(rotated.agents["b"], before.agents["b"])
      assert.deepStrictEqual(rotated.secrets.map(Redacted.value), ["second-key"])
      const changed = yield* Agents.make(yield* loaded(folder, "  a: { kind: demo, turnTimeout: 5s }\n"), {
        made: rotated
      })
      assert.notStrictEqual(changed.agents["a"], before.agents["a"])
      assert.isUndefined(changed.agents["b"])
    })
  )

  it.effect("a secret that others can read is refused with its key", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "key"), "k")
      chmodSync(join(folder, "key"), 0o644)
      const configuration = yield* loaded(folder, "  b: { kind: command, argv: [cat], secrets: { KEY: key } }\n")
      const error = yield* Effect.flip(Agents.make(configuration))
      assert.match(error.message, /^agents\.b\.secrets\.KEY = .*\(sluice\.yaml:2\): others can read it/)
    })
  )

  it.effect("what is wrong with the secrets of all agents is told at once, also that a file is empty", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "empty"), "\n", { mode: 0o600 })
      const configuration = yield* loaded(
        folder,
        `  b: { kind: command, argv: [cat], secrets: { ONE: empty, TWO: gone } }
  c: { kind: demo }
  d: { kind: model, url: "http://localhost:1", model: small, keyVariable: NO_SUCH_KEY_4711 }
`
      )
      const { problems } = yield* Effect.flip(Agents.make(configuration))
      assert.deepStrictEqual(
        problems.map(({ field, remedy }) => [field, remedy]),
        [
          ["agents.b.secrets.ONE", "it is empty; write the secret into it"],
          ["agents.b.secrets.TWO", "can't be read: it does not exist; correct the path or its permissions"],
          ["agents.d.keyVariable", "this variable is not set; set it, or use keyFile"]
        ]
      )
      // And the doctor calls no agent well that could not be made.
      assert.deepStrictEqual(
        (yield* Findings.agents(configuration)).map(({ name, state }) => `${name} ${state}`),
        ["agents fail", "agents fail", "agents fail", "agent b ok", "agent c ok"]
      )
    })
  )
})

describe("an agent of kind acp", () => {
  it.effect("is made from its configuration, and stays the same one over a reload", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "key"), "the-key", { mode: 0o600 })
      const text = `  main:
    kind: acp
    argv: [some-agent, --acp]
    mode: plan
    model: large
    permissions: deny
    initTimeout: 30s
    secrets: { KEY: key }
    mcpServers: { files: { argv: [npx, files], variables: { ROOT: / } }, search: { url: "http://localhost:1/mcp" } }
`
      const before = yield* Agents.make(yield* loaded(folder, text))
      assert.strictEqual(before.agents["main"]?.resume, "resume")
      assert.deepStrictEqual(before.secrets.map(Redacted.value), ["the-key"])
      const again = yield* Agents.make(yield* loaded(folder, text), { made: before })
      assert.strictEqual(again.agents["main"], before.agents["main"])
    })
  )

  it.effect("with a server that is neither a program nor an address is refused with the remedy", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      for (const server of ["{}", '{ argv: [npx], url: "http://localhost:1" }']) {
        const text = `  main: { kind: acp, argv: [some-agent], mcpServers: { files: ${server} } }\n`
        const error = yield* Effect.flip(loaded(folder, text))
        assert.match(error.message, /^agents\.main\.mcpServers\.files = .*give it either argv, .* or url,/)
      }
    })
  )
})

describe("an agent of kind claude-code", () => {
  it.effect("is made from its configuration, and stays the same one over a reload", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "key"), "the-key", { mode: 0o600 })
      const text = `  main:
    kind: claude-code
    model: sonnet
    permissionMode: plan
    permissions: deny
    allowedTools: [Read, "Bash(git *)"]
    retries: 1
    initTimeout: 30s
    awaitOrphan: 1 minute
    resume: ask
    secrets: { ANTHROPIC_API_KEY: key }
`
      const before = yield* Agents.make(yield* loaded(folder, text))
      assert.strictEqual(before.agents["main"]?.resume, "ask")
      assert.deepStrictEqual(before.agents["main"]?.orphan, { await: "1 minute" })
      assert.deepStrictEqual(before.secrets.map(Redacted.value), ["the-key"])
      const again = yield* Agents.make(yield* loaded(folder, text), { made: before })
      assert.strictEqual(again.agents["main"], before.agents["main"])
    })
  )
})

describe("what a command is given", () => {
  it.live("its secrets, its variables and where this gateway is; not the token, and nothing that was not named", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "key"), "the-secret-key\n", { mode: 0o600 })
      writeFileSync(
        join(folder, "agent.mjs"),
        `process.stdin.resume().on("end", () => {
          console.log(JSON.stringify({ ...process.env, cwd: process.cwd() }))
          console.error(process.env.KEY)
          process.exitCode = process.env.KEY === "the-secret-key" ? 0 : 1
        })`
      )
      const gateway = yield* start({
        folder,
        configuration: `agents:
  main:
    kind: command
    argv: [node, agent.mjs]
    environment: [PASSED_ON]
    variables: { COLOR: blue }
    secrets: { KEY: key }
`,
        environment: { PASSED_ON: "yes", KEPT_BACK: "no", SLUICE_LOG_LEVEL: "trace" }
      })
      yield* gateway.client.send("kim", "show me")
      const [reply] = yield* gateway.client.repliesUntil("kim", 1)
      const given = JSON.parse(reply?.text ?? "{}")
      assert.deepInclude(given, {
        KEY: "the-secret-key",
        COLOR: "blue",
        PASSED_ON: "yes",
        SLUICE_STATE_DIR: gateway.stateDirectory,
        cwd: folder
      })
      assert.notProperty(given, "KEPT_BACK")
      assert.notProperty(given, "SLUICE_TOKEN")
      assert.notProperty(given, "SLUICE_PORT")
      yield* gateway.signal("SIGTERM")
      yield* gateway.exited
      assert.notInclude(gateway.output().out.join("\n"), "the-secret-key")
    }).pipe(Effect.scoped)
  )
})
