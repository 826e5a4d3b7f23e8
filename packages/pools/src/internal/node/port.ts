/**
 * A port for a server that is started: one that nobody listens at. The system is asked by listening there for a moment.
 * Between that and the server's own listening somebody else may take it; then the server says so and ends, and the next
 * one gets another. Two of ours never get the same.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { createServer } from "node:net"

const given = new Set<number>()

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

const choose = Effect.fnUntraced(function* (wanted: number | undefined, host: string) {
  for (let attempt = 0; attempt < attempts; attempt++) {
    const port = yield* listen(wanted ?? 0, host)
    if (given.has(port) && wanted === undefined) continue
    given.add(port)
    return port
  }
  return yield* Effect.fail(`no free port was found at ${host}`)
})

/** The port that is wanted, or a free one; nobody else is given it until the scope closes. */
export const take = (wanted: number | undefined, host: string): Effect.Effect<number, string, Scope.Scope> =>
  Effect.acquireRelease(choose(wanted, host), (port) => Effect.sync(() => given.delete(port)))
