// One connection for many answers: it is kept when an answer ended, and closed when it was cut off.
import { assert, describe, it } from "@effect/vitest"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Stream from "effect/Stream"
import { createServer, connect, type AddressInfo, type Socket } from "node:net"
import * as Anthropic from "../standIn/anthropic.ts"
import { standIn } from "../standIn/openai.ts"
import { heard, opened, turnOf } from "./answers.ts"

/** Passes bytes on to a server and counts the connections that were made. */
const counted = (target: string) =>
  Effect.gen(function* () {
    const sockets = new Set<Socket>()
    let count = 0
    const server = createServer((socket) => {
      count++
      const onward = connect(Number(new URL(target).port), "127.0.0.1")
      for (const one of [socket, onward]) {
        sockets.add(one)
        one.on("error", () => one.destroy())
      }
      socket.pipe(onward)
      onward.pipe(socket)
    })
    const listening = yield* Deferred.make<number>()
    yield* Effect.acquireRelease(
      Effect.sync(() =>
        server.listen(0, "127.0.0.1", () =>
          Deferred.doneUnsafe(listening, Effect.succeed((server.address() as AddressInfo).port))
        )
      ),
      () =>
        Effect.sync(() => {
          for (const socket of sockets) socket.destroy()
          server.close()
        })
    )
    return { url: `http://127.0.0.1:${yield* Deferred.await(listening)}`, count: () => count }
  })

const clients = {
  node: NodeHttpClient.layerNodeHttpOptions({ keepAlive: true }),
  fetch: FetchHttpClient.layer
} as const

describe("connections", () => {
  for (const api of ["openai", "anthropic"] as const) {
    for (const client of ["node", "fetch"] as const) {
      it.live(`one serves several answers of ${api} over ${client}, and one that was cut off is not used again`, () =>
        Effect.gen(function* () {
          const server = yield* api === "openai" ? standIn() : Anthropic.standIn()
          const line = yield* counted(server.url)
          const agent = yield* opened({ api, url: line.url })
          for (const n of [1, 2, 3]) {
            yield* heard(agent.answer(turnOf([`hello ${n}`])))
            assert.strictEqual(yield* (yield* server.ask(n)).over, "ended")
          }
          assert.strictEqual(line.count(), 1)
          const cut = yield* Effect.forkChild(Stream.runDrain(agent.answer(turnOf(["hang"]))))
          const asked = yield* server.ask(4)
          yield* Fiber.interrupt(cut)
          assert.strictEqual(yield* asked.over, "left")
          assert.strictEqual((yield* heard(agent.answer(turnOf(["again"])))).text, "again")
          assert.strictEqual(line.count(), 2)
        }).pipe(Effect.scoped, Effect.provide(clients[client]))
      )
    }
  }
})
