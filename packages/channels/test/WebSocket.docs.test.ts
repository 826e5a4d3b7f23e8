/**
 * The client of docs/websocket.md, taken out of the page and run as it stands,
 * against a gateway that goes away under it and comes back; and the page itself,
 * which names every frame, every field of one and every code.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Queue from "effect/Queue"
import { spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { createInterface } from "node:readline"
import * as WebSocket from "../src/WebSocket.ts"
import { files, serve, token } from "./serve.ts"

const page = readFileSync(new URL("../../../docs/websocket.md", import.meta.url), "utf8")
const example = /```js\n(\/\/ client\.mjs[^]*?)```/.exec(page)?.[1] ?? ""

/** The example as a program: what is typed, and the lines that it shows. */
const run = Effect.fnUntraced(function* (url: string) {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "sluice-client-" })
  yield* fs.writeFileString(`${folder}/client.mjs`, example)
  const lines = yield* Queue.unbounded<string>()
  const child = yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn(process.execPath, [`${folder}/client.mjs`, "kim"], {
        env: { SLUICE_WS: `${url.replace("http", "ws")}/v1/ws`, SLUICE_TOKEN: token },
        stdio: ["pipe", "pipe", "inherit"]
      })
    ),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )
  createInterface({ input: child.stdout }).on("line", (line) => Queue.offerUnsafe(lines, line))
  return {
    type: (text: string) => Effect.sync(() => child.stdin.write(`${text}\n`)),
    shown: Queue.take(lines)
  }
})

describe("docs/websocket.md", () => {
  it.live("W2: its client sends and shows everything once, over a restart of the gateway", () =>
    Effect.gen(function* () {
      const first = yield* serve()
      const client = yield* run(first.url)
      yield* client.type("hello")
      yield* first.memory.message(1)
      yield* first.memory.answer(1, "one")
      assert.strictEqual(yield* client.shown, "one")
      yield* first.close
      yield* client.type("are you there?")
      const memory = yield* first.memory.restarted
      yield* memory.reply("kim", { text: "two" })
      const second = yield* serve({ memory, port: first.port })
      assert.strictEqual(yield* client.shown, "two")
      yield* memory.message(2)
      yield* memory.answer(2, "three")
      assert.strictEqual(yield* client.shown, "three")
      assert.deepStrictEqual(
        (yield* second.memory.messages).map(({ text }) => text),
        ["hello", "are you there?"]
      )
    }).pipe(Effect.provide(files))
  )

  it("has a client of about thirty lines", () => {
    assert.isAtMost(example.trim().split("\n").length, 36)
  })

  it("has every frame with every field, and every code", () => {
    for (const schema of [...WebSocket.ClientFrame.members, ...WebSocket.ServerFrame.members]) {
      const { type, ...fields } = schema.fields
      assert.include(page, `"type":"${type.literal}"`)
      const known = /^(turn|kind|inReplyTo|createdAt|attachments|sender|seq)$/
      for (const field of Object.keys(fields)) {
        if (!known.test(field)) assert.match(page, new RegExp(`["\`]${field}["\`]`), `${type.literal}.${field}`)
      }
    }
    for (const { code } of Object.values(WebSocket.closings)) assert.include(page, `| ${code} |`)
  })
})
