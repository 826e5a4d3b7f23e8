// The pools of a configuration: what is wrong is told with its key, its value and what to do; the page's example is right.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { chmodSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import * as Sources from "../src/configuration/Sources.ts"
import * as Pools from "../src/pools/Pools.ts"
import { inFolder, load, problems, yaml } from "./configurations.ts"

/** A pool that is right, with one thing changed. */
const one = (changed: string) =>
  yaml(`pools:\n  a: { capability: text-embedding, kind: openai, url: "http://127.0.0.1:1", model: m, ${changed} }\n`)

const server = 'kind: openai, url: "http://127.0.0.1:1", model: m'

describe("pools of a configuration", () => {
  it.effect("P1: two pools can't have one name for clients, and one pool no name twice", () =>
    Effect.gen(function* () {
      const two = `a: { capability: vision, ${server} }\n  b: { capability: vision, ${server}, models: [x, a] }`
      assert.deepStrictEqual(yield* problems(yaml(`pools:\n  ${two}\n`)), [
        'pools.b.models = "a" (sluice.yaml:3): is what pool a is asked for already; give one of the two another name in models'
      ])
      assert.deepStrictEqual(yield* problems(one("models: [x, x]")), [
        'pools.a.models = "x" (sluice.yaml:2): is listed twice; leave one out'
      ])
    })
  )

  it.effect("a capability or a kind that there is not is told with those that there are", () =>
    Effect.gen(function* () {
      const [capability] = yield* problems(yaml(`pools:\n  a: { capability: text-embeding, ${server} }\n`))
      assert.match(
        capability ?? "",
        /^pools\.a\.capability = "text-embeding" \(sluice\.yaml:2\): use one of text-embedding, .*; did you mean "text-embedding"\?$/
      )
      const [kind] = yield* problems(yaml("pools:\n  a: { capability: vision, kind: opneai }\n"))
      assert.match(
        kind ?? "",
        /^pools\.a\.kind = "opneai" .*: use one of openai, .*program.*; did you mean "openai"\?$/
      )
      assert.notInclude(kind ?? "", "claude-code")
      const [missing] = yield* problems(yaml("pools:\n  a: { capability: vision }\n"))
      assert.match(missing ?? "", /^pools\.a\.kind .*: is missing; use one of openai/)
    })
  )

  it.effect.each([
    ["workers: { max: -1 }", /^pools\.a\.workers\.max = -1 \(sluice\.yaml:2\): use a whole number from 0 to 1000$/],
    ["workers: { start: 5, max: 2 }", /^pools\.a\.workers\.start = 5 .*: is more than workers\.max \(2\); lower it/],
    ["workers: { min: 5 }", /^pools\.a\.workers\.min = 5 .*: is more than workers\.max \(4\); lower it, or raise/],
    ["workers: { memory: -3 }", /^pools\.a\.workers\.memory = -3 .*: use a size from 0 B to/],
    ["queue: 0", /^pools\.a\.queue = 0 .*: use a whole number from 1 to 1000000$/],
    ["queue: 10, queuePerCaller: 11", /^pools\.a\.queuePerCaller = 11 .*: is more than queue \(10\)/],
    ["requestTimeout: 5", /^pools\.a\.requestTimeout = 5 .*: use a duration from 100 millis to 24 hours/],
    ['url: "http://me:secret@host"', /^pools\.a\.url = "http:\/\/\.\.\.@host" .*: use an address without a key in it/],
    ["url: v1/models", /^pools\.a\.url = "v1\/models" .*: use an address without a key in it/],
    ['urls: ["http://127.0.0.1:2"]', /^pools\.a \(sluice\.yaml:2\): give it either url, .* or urls/],
    ["models: [two words]", /^pools\.a\.models .*: use a list of names without spaces/],
    ["keyFile: key, keyVariable: KEY", /^pools\.a .*: has two keys; give it either keyFile or keyVariable$/],
    ["imageShape: objects", /^pools\.a .*: imageShape is for pools that embed images; leave it out$/],
    ["argv: [x]", /^pools\.a\.argv = \["x"\] .*: unknown key; known here: kind, capability, models, /],
    ["worker: { max: 1 }", /^pools\.a\.worker .*: unknown key; did you mean "workers"\?$/]
  ] as const)("bad input: %s", ([changed, wanted]) =>
    Effect.gen(function* () {
      const found = yield* problems(
        changed.startsWith("url:")
          ? yaml(`pools:\n  a: { capability: text-embedding, kind: openai, model: m, ${changed} }\n`)
          : one(changed)
      )
      assert.isTrue(
        found.some((line) => wanted.test(line)),
        found.join("\n")
      )
      assert.notInclude(found.join("\n"), "secret")
    })
  )

  it.effect("C9: all requests together may not be less than one of them", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* problems(yaml("limits: { poolBody: 8 MiB, poolBodies: 4 MiB }\n")), [
        'limits.poolBodies = "4 MiB" (sluice.yaml:1): is less than limits.poolBody (8 MiB); use at least that'
      ])
    })
  )

  it.effect("a server that is started needs its port in its arguments", () =>
    Effect.gen(function* () {
      const text = "pools:\n  a: { capability: vision, kind: server, argv: [llama-server, -m, a.gguf] }\n"
      assert.deepStrictEqual(yield* problems(yaml(text)), [
        "pools.a (sluice.yaml:2): argv has no {port}; write it where the server takes its port"
      ])
    })
  )

  it.effect("P8: two pools can't have one port, nor a worker one that there is not", () =>
    Effect.gen(function* () {
      const pool = (name: string, more: string) =>
        `  ${name}: { capability: vision, kind: server, argv: [s, "{port}"], ${more} }\n`
      const text = [
        pool("a", "port: 8080"),
        pool("b", "port: 8083, workers: { max: 1 }"),
        pool("c", "port: 8083, host: ::1"),
        pool("d", "port: 8084"),
        pool("e", "port: 65533")
      ]
      assert.deepStrictEqual(yield* problems(yaml(`pools:\n${text.join("")}`)), [
        "pools.b.port = 8083 (sluice.yaml:3): its workers have the ports 8083, and those of pool a 8080 to 8083; move one, lower workers.max, or leave port out",
        "pools.e.port = 65533 (sluice.yaml:6): is too high for 4 workers, each with the next port; use at most 65532, or lower workers.max"
      ])
    })
  )

  it.effect("a thread embeds and writes; of what it does not do it is said what does", () =>
    Effect.gen(function* () {
      const text = "pools:\n  a: { capability: vision, kind: onnx, folder: model }\n"
      assert.deepStrictEqual(yield* problems(yaml(text)), [
        "pools.a (sluice.yaml:2): a thread does no vision; use kind server, program or openai for it"
      ])
    })
  )

  it.effect("a key that is not there or that others can read is refused, and it is in no message", () =>
    inFolder(one("keyFile: key"), (sources) =>
      Effect.gen(function* () {
        const decided = Effect.flatMap(Sources.load(sources), Pools.decide)
        const missing = yield* Effect.flip(decided)
        assert.match(missing.message, /^pools\.a\.keyFile = ".*key" \(sluice\.yaml:2\): can't be read: /)
        const file = join(sources.folder, "key")
        writeFileSync(file, "sk-a-key\n")
        chmodSync(file, 0o644)
        const open = yield* Effect.flip(decided)
        assert.match(open.message, /^pools\.a\.keyFile = .*: others can read it \(mode 644\); run: chmod 600 /)
        assert.notInclude(open.message, "sk-a-key")
        chmodSync(file, 0o600)
        const [recipe] = (yield* decided).recipes
        assert.strictEqual(recipe?.secrets.length, 1)
        assert.notInclude(JSON.stringify(recipe), "sk-a-key")
      })
    )
  )

  it.effect(
    "relative paths belong to the file's folder, and a pool is asked for by its own name unless it has others",
    () =>
      inFolder(
        yaml(
          `pools:\n  a: { capability: vision, kind: program, argv: [./see], cwd: eyes }\n  b: { capability: vision, ${server}, models: [x] }\n`
        ),
        (sources) =>
          Effect.gen(function* () {
            const loaded = yield* Sources.load(sources)
            const pool = loaded.configuration.pools["a"]
            assert.strictEqual(pool?.kind === "program" ? pool.cwd : "", join(sources.folder, "eyes"))
            const { recipes } = yield* Pools.decide(loaded)
            assert.deepStrictEqual(
              recipes.map(({ models }) => models),
              [["a"], ["x"]]
            )
          })
      )
  )

  it.effect("the examples of docs/pools.md are valid as they stand", () =>
    Effect.gen(function* () {
      const page = readFileSync(new URL("../../../docs/pools.md", import.meta.url), "utf8")
      const examples = [...page.matchAll(/```yaml\n([^`]*pools:[^`]*)```/g)].map(([, text = ""]) => text)
      assert.isAtLeast(examples.length, 2)
      for (const text of examples) {
        const { configuration, warnings } = yield* load(yaml(text))
        assert.deepStrictEqual(warnings, [])
        assert.isAbove(Object.keys(configuration.pools).length, 0)
      }
    })
  )
})
