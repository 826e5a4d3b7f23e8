/**
 * W4: bodies and frames that are small for a wire and too deep for a program, and a
 * reply of another session on a WebSocket: each is answered as what it is. And
 * what is remembered of replies that die does not grow.
 */
import { assert, describe, it } from "@effect/vitest"
import type { Reply } from "@sluice/runtime/Message"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Instead, mostInstead } from "../src/internal/chat/instead.ts"
import { replyFrame } from "../src/internal/websocket/frames.ts"
import { ServerFrame } from "../src/WebSocket.ts"
import { serve } from "./serve.ts"
import { dial } from "./sockets.ts"

const deep = `${"[".repeat(200_000)}${"]".repeat(200_000)}`
const invalid = "urn:sluice:problem:invalid"

describe("what is nested 200,000 times", () => {
  it.live("W4: is refused as invalid over HTTP, wherever in the body it is", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const bodies: ReadonlyArray<readonly [string, string]> = [
        ["messages", `{"text": ${deep}}`],
        ["messages", `{"text": "x", "extra": ${deep}}`],
        ["messages", `{"text": "x", "attachments": ${deep}}`],
        ["messages", deep],
        ["commands", `{"command": "/stop", "arguments": ${deep}}`],
        ["commands", `{"command": ${deep}}`],
        ["posts", `{"text": ${deep}}`]
      ]
      for (const [path, body] of bodies) {
        const answer = yield* server.fetch(`/v1/conversations/kim/${path}`, {
          method: "POST",
          body,
          headers: { "content-type": "application/json" }
        })
        assert.deepInclude(answer.body, { status: 400, type: invalid }, `${path} ${body.slice(0, 40)}`)
        assert.isBelow(answer.text.length, 2000)
      }
      assert.deepStrictEqual(yield* server.memory.messages, [])
    })
  )

  it.live("W4: is refused as invalid on a WebSocket, which goes on", () =>
    Effect.gen(function* () {
      const server = yield* serve()
      const client = yield* dial(server)
      const frames = [
        `{"type": "message", "conversation": "kim", "id": "1", "text": ${deep}}`,
        `{"type": ${deep}}`,
        `{"type": "ack", "conversation": "kim", "number": ${deep}}`,
        `{"type": "ping", "extra": ${deep}}`,
        deep
      ]
      for (const frame of frames) {
        yield* client.sendRaw(frame)
        assert.deepInclude(yield* client.next("error"), { status: 400, problem: invalid }, frame.slice(0, 40))
      }
      yield* client.send({ type: "ping" })
      yield* client.next("pong")
    })
  )
})

describe("a reply of a session that the conversation has left", () => {
  it("is a frame of a WebSocket as the schema has it, with that session's name", () => {
    const reply: Reply = {
      id: "r1",
      conversation: { channel: "http", account: "", peer: "kim", thread: "" },
      number: 1,
      kind: "answer",
      turn: "7",
      session: "work",
      inReplyTo: ["m1"],
      text: "done",
      createdAt: 0
    }
    const decode = Schema.decodeUnknownSync(ServerFrame, { onExcessProperty: "error" })
    assert.deepInclude(decode(replyFrame("kim", reply)), { type: "reply", session: "work", text: "done" })
  })
})

describe("what stands for a placeholder that somebody deleted", () => {
  it("is remembered until its answer is in, and of those that die only the newest are", () => {
    const instead = new Instead<number>()
    instead.set("answered", 1)
    assert.strictEqual(instead.get("answered"), 1)
    instead.delete("answered")
    assert.isUndefined(instead.get("answered"))
    instead.set("kept in use", 1)
    for (let n = 0; n < mostInstead; n++) {
      instead.set(`died ${n}`, n)
      instead.set("kept in use", n)
    }
    assert.deepStrictEqual(
      ["died 0", "died 1", `died ${mostInstead - 1}`, "kept in use"].map((key) => instead.get(key)),
      [undefined, 1, mostInstead - 1, mostInstead - 1]
    )
  })
})
