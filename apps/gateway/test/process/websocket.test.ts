// WebSockets of a real gateway that is killed in the middle of everything and then stopped in the middle of everything:
// a client that keeps its number and its unaccepted messages is told of each message and shown each reply, once.
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { codes } from "../../src/process/Exit.ts"
import { start, temporaryFolder, tool } from "../harness.ts"
import { prove, type Told } from "../records.ts"
import { socketClient } from "../socketClient.ts"

const configuration = "drain: { timeout: 10 seconds, startWithin: 0 millis }\nqueue: { mode: followup }\n"

describe("WebSockets over boots", () => {
  it.live(
    "D1 D3 S13 W2: a kill and a stop in mid-turn: each message is answered once, in order, on whatever socket",
    () =>
      Effect.gen(function* () {
        const folder = yield* temporaryFolder
        const place = { url: "", token: "" }
        const boot = Effect.tap(start({ folder, configuration }), ({ token, url }) =>
          Effect.sync(() => Object.assign(place, { url, token }))
        )
        const client = yield* socketClient(place, "kim")
        const idle = yield* socketClient(place, "nobody")
        const told: Array<Told> = []
        const say = (id: string, text: string) =>
          Effect.map(client.send(id, text), ({ seq }) => void told.push({ id, text, seq }))

        const first = yield* boot
        yield* say("a", "hello")
        yield* client.until((shown) => shown.length === 1)
        yield* say("b", "work 300ms in the crash")
        const sending = yield* Effect.forkChild(Effect.forEach(["c", "d", "e", "f"], (id) => say(id, `more ${id}`)))
        yield* first.signal("SIGKILL")
        yield* first.exited

        const second = yield* boot
        yield* Fiber.join(sending)
        yield* client.until((shown) => shown.some(({ inReplyTo }) => inReplyTo.includes("f")))
        yield* say("g", "work 300ms in the stop")
        yield* say("h", "behind it")
        const began = yield* second.signal("SIGTERM")
        const late = yield* Effect.forkChild(say("i", "while it stops"))
        const exit = yield* second.exited
        assert.strictEqual(exit.code, codes.clean)
        assert.isBelow(exit.at - began, 15_000)
        yield* Effect.all([client.ended(1012), idle.ended(1012)])

        const third = yield* boot
        yield* Fiber.join(late)
        yield* client.until((shown) => shown.some(({ inReplyTo }) => inReplyTo.includes("i")))
        assert.deepStrictEqual(prove("kim", told, client.shown).broken, [])
        // the conversation is the same one over HTTP
        const pulled = yield* third.client.replies("kim")
        assert.deepStrictEqual(
          client.shown.map(({ number, text }) => `${number} ${text}`),
          pulled.map(({ number, text }) => `${number} ${text}`)
        )
        assert.deepStrictEqual(idle.shown, [])
        const ledger = yield* tool(folder, ["audit", "--json"])
        assert.deepInclude(ledger.json, { accepted: 9, open: 0, balanced: true })
      })
  )
})
