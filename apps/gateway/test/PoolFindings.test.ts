// What doctor finds out about pools: servers that are there and such that are not, keys that travel in the open, programs
// that are missing, secrets that others can read; and what a gateway that runs says of them.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { chmodSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { type Answer, sendJson, server } from "../../../packages/pools/test/server.ts"
import * as Sources from "../src/configuration/Sources.ts"
import * as Findings from "../src/tools/Findings.ts"
import * as PoolFindings from "../src/tools/PoolFindings.ts"
import { inFolder, yaml } from "./configurations.ts"

const rows = (pools: string, files: Readonly<Record<string, readonly [text: string, mode: number]>> = {}) =>
  inFolder(yaml(`pools:\n${pools}\n`), (sources) =>
    Effect.gen(function* () {
      for (const [name, [text, mode]] of Object.entries(files)) {
        writeFileSync(join(sources.folder, name), text)
        chmodSync(join(sources.folder, name), mode)
      }
      return yield* PoolFindings.pools(yield* Sources.load(sources))
    })
  )

describe("doctor on pools", () => {
  it.live("asks each server, with the key, and says what it said", () =>
    Effect.gen(function* () {
      const { asked, url } = yield* server({})
      const strict = yield* server({ "/v1/models": (_, response) => sendJson(response, { error: "no" }, 401) })
      const common = "capability: text-embedding, kind: openai, model: m"
      const [there, ...others] = yield* rows(
        [
          `  there: { ${common}, url: "${url}", keyFile: key }`,
          `  some: { ${common}, urls: ["${url}", "http://127.0.0.1:9"] }`,
          `  strict: { ${common}, url: "${strict.url}", keyFile: key }`,
          `  unasked: { ${common}, url: "http://127.0.0.1:9", health: none }`
        ].join("\n"),
        { key: ["sk-1234", 0o600] }
      )
      const host = new URL(url).host
      assert.deepStrictEqual(there, { name: "pool there", state: "ok", detail: `${host} answers` })
      assert.strictEqual(asked[0]?.authorization, "Bearer sk-1234")
      assert.deepStrictEqual(
        others.map(({ name, state }) => `${name} ${state}`),
        ["pool some ok", "pool some fail", "pool strict fail", "pool unasked ok"]
      )
      assert.match(others[1]?.detail ?? "", /no answer from 127\.0\.0\.1:9: .*ECONNREFUSED/)
      assert.match(others[2]?.detail ?? "", /it does not accept the key/)
      assert.notInclude(JSON.stringify(others), "sk-1234")
    }).pipe(Effect.scoped)
  )

  it.live("names a model that its server does not have, with those that it has, and asks no other path for it", () =>
    Effect.gen(function* () {
      const list = { data: [{ id: "nomic-embed-text:latest" }, { id: "llama3.2:latest" }] }
      const { url } = yield* server({ "/v1/models": (_, response) => sendJson(response, list) })
      const common = `capability: text-embedding, kind: openai, url: "${url}"`
      const [known, typo, own] = yield* rows(
        [
          `  known: { ${common}, model: nomic-embed-text }`,
          `  typo: { ${common}, model: nomic-embed }`,
          `  own: { ${common}, model: nomic-embed, health: /models }`
        ].join("\n")
      )
      const host = new URL(url).host
      assert.deepStrictEqual(known, { name: "pool known", state: "ok", detail: `${host} answers` })
      assert.deepStrictEqual(typo, {
        name: "pool typo",
        state: "warn",
        detail: `${host} does not know the model nomic-embed; it has nomic-embed-text:latest, llama3.2:latest`,
        remedy: "load it there (ollama pull), or correct its name in model"
      })
      assert.deepStrictEqual(own?.state, "ok")
    }).pipe(Effect.scoped)
  )

  it.live("an address that has nothing for it is told, a server that only lists no models is not", () =>
    Effect.gen(function* () {
      const nothing: Answer = (_, response) => sendJson(response, { error: "not found" }, 404)
      const { asked, url } = yield* server({
        "/v1/models": nothing,
        "/v1/embeddings": (_, response) => sendJson(response, { error: "method not allowed" }, 405)
      })
      const common = "capability: text-embedding, kind: openai, model: m"
      const [plain, wrong, own] = yield* rows(
        [
          `  plain: { ${common}, url: "${url}" }`,
          `  wrong: { ${common}, url: "${url}/api/v2", keyFile: key }`,
          `  own: { ${common}, url: "${url}/api", health: none }`
        ].join("\n"),
        { key: ["sk-1234", 0o600] }
      )
      const host = new URL(url).host
      assert.deepStrictEqual(plain, { name: "pool plain", state: "ok", detail: `${host} answers` })
      assert.deepStrictEqual(wrong, {
        name: "pool wrong",
        state: "warn",
        detail: `${host} answers, but has nothing at /models, nor at /embeddings (404) below ${url}/api/v2`,
        remedy: "correct the path in its address, which often ends with /v1; an address without one gets that"
      })
      assert.strictEqual(own?.state, "ok")
      const there = asked.filter(({ path }) => path.startsWith("/api/v2"))
      assert.isTrue(there.every(({ authorization }) => authorization === "Bearer sk-1234"))
      assert.isFalse(asked.some(({ path }) => path.startsWith("/api/models")))
    }).pipe(Effect.scoped)
  )

  it.effect("looks for programs, and starts none of them", () =>
    Effect.gen(function* () {
      const found = yield* rows(
        [
          "  a: { capability: vision, kind: program, argv: [no-such-program-here] }",
          "  b: { capability: vision, kind: program, argv: [sh, -c, 'touch started'] }",
          "  c: { capability: vision, kind: server, argv: [./serve, --port, '{port}'], cwd: nowhere }",
          "  d: { capability: text-embedding, kind: onnx, folder: nowhere }"
        ].join("\n")
      )
      assert.deepStrictEqual(
        found.map(({ name, state }) => `${name} ${state}`),
        ["pool a fail", "pool b ok", "pool c fail", "pool d fail"]
      )
      assert.match(found[3]?.detail ?? "", /^its folder .*nowhere does not exist$/)
      assert.strictEqual(found[0]?.detail, 'program "no-such-program-here" is not found')
      assert.match(found[2]?.detail ?? "", /its folder .*nowhere does not exist/)
    })
  )

  it.effect("a secret that others can read is told with what to do, and is in no line", () =>
    Effect.gen(function* () {
      const pool = "  a: { capability: vision, kind: program, argv: [sh], secrets: { HF_TOKEN: secret } }"
      const [found] = yield* rows(pool, { secret: ["hf-1234", 0o644] })
      assert.strictEqual(found?.state, "fail")
      assert.match(found?.detail ?? "", /^pools\.a\.secrets\.HF_TOKEN = .*: others can read it .*chmod 600/)
      assert.notInclude(JSON.stringify(found), "hf-1234")
    })
  )

  it("names the pools that are not well in the running gateway", () => {
    const pools = [
      { name: "a", state: "healthy", problems: [] },
      { name: "b", state: "unhealthy", problems: ["its backend failed too often and is left alone for a while"] }
    ]
    const found = Findings.readiness(200, { ready: true, problems: [], channels: [], pools }, "http://127.0.0.1:4747")
    assert.deepStrictEqual(
      found.map(({ name, state }) => `${name} ${state}`),
      ["gateway ok", "pool b warn"]
    )
    assert.include(found[1]?.detail ?? "", "unhealthy in the running gateway: its backend failed too often")
  })
})
