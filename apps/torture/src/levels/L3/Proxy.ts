/**
 * A bad line between clients and the gateway: a TCP proxy that, while it is told
 * to, swallows what the gateway answers, cuts connections in the middle, holds
 * everything back, or lets it trickle. A seed decides which connection it is, so
 * that a run's bad luck comes again. Where it leads can change: a gateway that is
 * started again has another port.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { type AddressInfo, connect, createServer, type Socket } from "node:net"

/** What a bad line does to a connection. */
export type Trouble = "swallow" | "cut" | "hold" | "trickle"

/** See the header. */
export interface Proxy {
  readonly url: string
  /** Leads to this port from now on. */
  readonly leadTo: (port: number) => void
  /** From now on: this share of the connections' answers has one of these troubles; nothing mends it. */
  readonly trouble: (share: number, kinds: ReadonlyArray<Trouble>) => void
  readonly mend: () => void
  /** How often each trouble came about. */
  readonly counts: Readonly<Record<Trouble, number>>
}

const trickleMillis = 20

/** Opens the line; it is closed with the scope. `random` gives numbers below 1. */
export const make = (random: () => number): Effect.Effect<Proxy, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<{ readonly proxy: Proxy; readonly close: () => void }>((resume) => {
      let target = 0
      let share = 0
      let kinds: ReadonlyArray<Trouble> = []
      const counts: Record<Trouble, number> = { swallow: 0, cut: 0, hold: 0, trickle: 0 }
      const sockets = new Set<Socket>()
      const held = new Set<() => void>()
      const trickling = new WeakMap<Socket, number>()
      const deserted = new WeakSet<Socket>()

      const luck = (): Trouble | undefined => {
        if (random() >= share) return undefined
        const kind = kinds[Math.floor(random() * kinds.length)]
        if (kind !== undefined) counts[kind]++
        return kind
      }

      // What is still on its way holds the connection open, also when the other side has closed its own.
      const slowly = (client: Socket, piece: Buffer) => {
        let at = 0
        trickling.set(client, (trickling.get(client) ?? 0) + 1)
        const timer = setInterval(() => {
          if (!client.destroyed && at < piece.length) {
            client.write(piece.subarray(at, at + 32))
            at += 32
            return
          }
          clearInterval(timer)
          const left = (trickling.get(client) ?? 1) - 1
          trickling.set(client, left)
          if (left === 0 && deserted.has(client)) client.end()
        }, trickleMillis)
      }

      // Decided for each piece that the gateway answers: what the client asked has arrived by then.
      const back = (client: Socket, gateway: Socket) => (piece: Buffer) => {
        switch (luck()) {
          case "swallow":
            // The gateway believes that it answered; the client finds the connection closed.
            return void client.destroy()
          case "cut":
            client.write(piece.subarray(0, piece.length >> 1), () => client.resetAndDestroy())
            return void gateway.resetAndDestroy()
          case "hold":
            return void held.add(() => client.write(piece))
          case "trickle":
            return slowly(client, piece)
          default:
            return void client.write(piece)
        }
      }

      const server = createServer((client) => {
        const gateway = connect(target, "127.0.0.1")
        for (const [one, other] of [
          [client, gateway],
          [gateway, client]
        ] as const) {
          sockets.add(one)
          // The other side hears of it by the close that follows.
          one.on("error", () => other.destroy())
          one.on("close", () => {
            sockets.delete(one)
            deserted.add(other)
            if ((trickling.get(other) ?? 0) === 0) other.destroySoon()
          })
        }
        client.on("data", (piece) => gateway.write(piece))
        gateway.on("data", back(client, gateway))
      })
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        const proxy: Proxy = {
          url: `http://127.0.0.1:${port}`,
          leadTo: (port) => void (target = port),
          trouble: (next, what) => {
            share = next
            kinds = what
          },
          mend: () => {
            share = 0
            for (const release of held) release()
            held.clear()
          },
          counts
        }
        const close = () => {
          server.close()
          for (const socket of sockets) socket.destroy()
        }
        resume(Effect.succeed({ proxy, close }))
      })
    }),
    ({ close }) => Effect.sync(close)
  ).pipe(Effect.map(({ proxy }) => proxy))
