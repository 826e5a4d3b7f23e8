// A model in the configuration: what is wrong with it is told before anything is started, its key comes from where it was
// put and is kept out of the log, and a reload leaves it alone while nothing changes.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Agents from "../src/agents/Agents.ts"
import * as Sources from "../src/configuration/Sources.ts"
import { problems, yaml } from "./configurations.ts"
import { temporaryFolder } from "./harness.ts"

const loaded = (folder: string, agent: string) =>
  Effect.suspend(() => {
    writeFileSync(join(folder, "sluice.yaml"), `agents:\n  m: { kind: model, ${agent} }\n`)
    return Sources.load({ environment: {}, folder })
  })

const model = "url: http://localhost:11434, model: llama"

describe("a model in the configuration", () => {
  const address = 'use an address without a key in it, such as "http://localhost:11434" or "https://api.openai.com/v1"'
  const pools =
    "pools:\n  writer: { kind: openai, capability: text-generation, url: 'http://localhost:1', model: m }\n  search: { kind: openai, capability: text-embedding, url: 'http://localhost:1', model: m, models: [find] }\n"
  const cases: ReadonlyArray<readonly [name: string, agent: string, expected: string]> = [
    [
      "without its address",
      "model: llama",
      `agents.m.url (sluice.yaml:2): is missing; ${address}, or name a pool in \`pool\``
    ],
    [
      "without its name",
      "url: http://localhost:11434",
      "agents.m.model (sluice.yaml:2): is missing; name a model of the server, or a pool in `pool`"
    ],
    [
      "over a pool that there is not",
      "pool: writr",
      'agents.m.pool = "writr" (sluice.yaml:2): there is no such pool; did you mean "writer"?; for chats there is writer'
    ],
    [
      "over a pool that does not talk",
      "pool: find",
      'agents.m.pool = "find" (sluice.yaml:2): is a pool for text-embedding; an agent needs one for text-generation or vision'
    ],
    [
      "over a pool and a server",
      "pool: writer, url: http://localhost:11434",
      'agents.m.url = "http://localhost:11434" (sluice.yaml:2): is the pool\'s; leave it out here'
    ],
    [
      "with an address that is none",
      "url: localhost:11434, model: llama",
      `agents.m.url = "localhost:11434" (sluice.yaml:2): ${address}`
    ],
    [
      "with a password in its address",
      "url: 'https://me:secret@example.org', model: llama",
      `agents.m.url = "https://...@example.org" (sluice.yaml:2): ${address}`
    ],
    [
      "with a temperature that is too high",
      `${model}, temperature: 3`,
      "agents.m.temperature = 3 (sluice.yaml:2): use a number from 0 to 2"
    ],
    [
      "with an interface that there is not",
      `${model}, api: opnai`,
      'agents.m.api = "opnai" (sluice.yaml:2): use one of openai, anthropic; did you mean "openai"?'
    ],
    [
      "with a key that another kind of agent has",
      `${model}, environment: [HTTPS_PROXY]`,
      'agents.m.environment = ["HTTPS_PROXY"] (sluice.yaml:2): unknown key; known here: kind, pool, api, url, model, keyFile, keyVariable, systemPrompt, maxTokens, contextTokens, overflow, temperature, images, requestTimeout, retries, stallTimeout, turnTimeout'
    ]
  ]
  for (const [name, agent, expected] of cases) {
    it.effect(`${name} is refused`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(
          yield* problems(yaml(`agents:\n  m: { kind: model, ${agent} }\n${agent.includes("pool") ? pools : ""}`)),
          [expected]
        )
      })
    )
  }

  it.effect("needs its variable when it names one", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      const error = yield* Effect.flip(Agents.make(yield* loaded(folder, `${model}, keyVariable: SURELY_NOT_SET`)))
      assert.strictEqual(
        error.message,
        'agents.m.keyVariable = "SURELY_NOT_SET" (sluice.yaml:2): this variable is not set; set it, or use keyFile'
      )
    })
  )

  it.effect("needs a key that can be sent, and does not show a bad one", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      for (const [key, remedy] of [
        ["", "it is empty; write the key into it"],
        ["two keys", "it holds spaces or characters that no header takes; put the key alone there"]
      ] as const) {
        writeFileSync(join(folder, "key"), key, { mode: 0o600 })
        const error = yield* Effect.flip(Agents.make(yield* loaded(folder, `${model}, keyFile: key`)))
        assert.strictEqual(error.message, `agents.m.keyFile = "${join(folder, "key")}" (sluice.yaml:2): ${remedy}`)
      }
    })
  )

  it.effect("stays the same one over a reload until its key is another; its key is known to the log", () =>
    Effect.gen(function* () {
      const folder = yield* temporaryFolder
      writeFileSync(join(folder, "key"), "first-key\n", { mode: 0o600 })
      const text = `${model}, keyFile: key, overflow: summarize, stallTimeout: 5 minutes`
      const before = yield* Agents.make(yield* loaded(folder, text))
      assert.deepStrictEqual(before.secrets.map(Redacted.value), ["first-key"])
      const again = yield* Agents.make(yield* loaded(folder, text), { made: before })
      assert.strictEqual(again.agents["m"], before.agents["m"])
      writeFileSync(join(folder, "key"), "second-key\n")
      const rotated = yield* Agents.make(yield* loaded(folder, text), { made: again })
      assert.notStrictEqual(rotated.agents["m"], before.agents["m"])
    })
  )
})
