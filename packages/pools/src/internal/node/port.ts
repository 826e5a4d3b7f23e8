/**
 * A port for a server that is started: one that nobody listens at. The system is asked by listening there for a moment.
 * Between that and the server's own listening somebody else may take it; then the server says so and ends, and the next
 * one gets another. Two of ours never get the same: who wants one that another of ours has waits until that one has gone,
 * as the server of a pool that was configured anew waits for the last request of the old one.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createServer } from "node:net"

/** Those that ours have, each with its end. */
const given = new Map<string, Deferred.Deferred<void>>()

/** Numbers that the system may hand out twice in a row before we look for them ourselves. */
const attempts = 20

const listen = (port: number, host: string): Effect.Effect<number, string> =>
  Effect.callback<number, string>((resume) => {
    const server = createServer()
    server.on("error", (cause: NodeJS.ErrnoException) => {
      const why = cause.code === "EADDRINUSE" ? "is in use by another program" : `can't be used: ${cause.code}`
      resume(Effect.fail(`port ${port} of ${host} ${why}; free it or name another one`))
    })
    server.listen({ port, host, exclusive: true }, () => {
      const address = server.address()
      const found = typeof address === "object" && address !== null ? address.port : port
      server.close(() => resume(Effect.succeed(found)))
    })
    return Effect.sync(() => server.close())
  })

const keyOf = (port: number, host: string): string => `${host} ${port}`

/** Makes it ours until the scope closes; false when it is another's of ours. */
const claim = (port: number, host: string): Effect.Effect<boolean, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const key = keyOf(port, host)
      if (given.has(key)) return false
      given.set(key, Deferred.makeUnsafe())
      return true
    }),
    (claimed) =>
      Effect.sync(() => {
        if (!claimed) return
        const key = keyOf(port, host)
        const end = given.get(key)
        given.delete(key)
        if (end !== undefined) Deferred.doneUnsafe(end, Effect.void)
      })
  )

const wantedPort = Effect.fnUntraced(function* (port: number, host: string) {
  while (!(yield* claim(port, host))) {
    const end = given.get(keyOf(port, host))
    if (end !== undefined) yield* Deferred.await(end)
  }
  return yield* listen(port, host)
})

const anyPort = Effect.fnUntraced(function* (host: string) {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const port = yield* listen(0, host)
    if (yield* claim(port, host)) return port
  }
  return yield* Effect.fail(`no free port was found at ${host}`)
})

/** The port that is wanted, when nobody of ours has it any more, or a free one; nobody else is given it until the scope closes. */
export const take = (wanted: number | undefined, host: string): Effect.Effect<number, string, Scope.Scope> =>
  wanted === undefined ? anyPort(host) : wantedPort(wanted, host)
