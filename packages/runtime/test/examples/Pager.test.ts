// An example that runs: a channel of one's own. It polls a pager's API from a cursor that never passes what is committed,
// and delivers with the reply's id as the key by which the other side recognises a repeat.
import { assert, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Queue from "effect/Queue"
import * as Channel from "../../src/Channel.ts"
import { Gateway } from "../../src/Gateway.ts"
import { TestAgent, TestGateway } from "../../src/testing/index.ts"

interface Page {
  readonly items: ReadonlyArray<{
    readonly id: string
    readonly room: string
    readonly from: string
    readonly body: string
  }>
  readonly next: string
}

/** The pager's API. */
class Pages extends Context.Service<
  Pages,
  {
    /** The messages after a cursor; waits until there are some. */
    readonly after: (cursor: string) => Effect.Effect<Page>
    readonly send: (
      room: string,
      text: string,
      key: string
    ) => Effect.Effect<string, Channel.NotSent | Channel.Unknown | Channel.Throttled>
  }
>()("acme/Pages") {}

/** A channel over it. What it needs is needed of whoever builds the gateway. */
const pager: Channel.Channel<Pages> = Channel.make({
  delivery: Channel.keyed((reply) =>
    Effect.flatMap(Pages, (pages) =>
      Effect.map(pages.send(reply.conversation.peer, reply.text, reply.id), (remoteId) => ({ remoteId }))
    )
  ),
  receive: Effect.fnUntraced(function* ({ accept, ready }) {
    const pages = yield* Pages
    yield* ready
    let cursor = ""
    while (true) {
      const { items, next } = yield* pages.after(cursor)
      const committed = yield* Effect.forEach(items, ({ body, from, id, room }) =>
        // Success = on disk. What can never be accepted is logged and skipped.
        accept({ conversation: room, id, sender: from, text: body }).pipe(Channel.skipPermanent)
      ).pipe(
        Effect.as(true),
        // What may be accepted later ends the page: it is asked for again.
        Effect.catch(({ retryAfter }) => Effect.as(Effect.sleep(retryAfter), false))
      )
      if (committed) cursor = next
    }
  })
})

it.effect("D9: a page that comes again is answered once, and a reply is sent under its own key", () =>
  Effect.gen(function* () {
    const asked: Array<string> = []
    const sent: Array<readonly [room: string, text: string, key: string]> = []
    const incoming = yield* Queue.unbounded<Page>()
    const pages = Layer.succeed(Pages, {
      after: (cursor) =>
        Effect.andThen(
          Effect.sync(() => asked.push(cursor)),
          Queue.take(incoming)
        ),
      send: (room, text, key) => Effect.sync(() => String(sent.push([room, text, key])))
    })
    const item = { id: "41", room: "ops", from: "kim", body: "disk full on db3" }
    const built = TestGateway.make({
      agents: { main: TestAgent.echo().agent },
      channels: { pager },
      debounce: { quiet: 0 }
    }).pipe(Layer.provide(pages))
    yield* Effect.gen(function* () {
      const gateway = yield* Gateway
      yield* Queue.offerAll(incoming, [
        { items: [item], next: "41" },
        { items: [item, { ...item, id: "42", body: "and on db4" }], next: "42" }
      ])
      // The third question is only asked when the second page is committed.
      while (asked.length < 3) yield* Effect.yieldNow
      yield* gateway.settled("pager/ops")
      assert.deepStrictEqual(asked, ["", "41", "42"])
      assert.deepStrictEqual(
        sent.map(([room, text]) => `${room}: ${text}`),
        ["ops: disk full on db3", "ops: and on db4"]
      )
      assert.strictEqual(new Set(sent.map(([, , key]) => key)).size, 2)
    }).pipe(Effect.provide(built))
  })
)
