/**
 * Sluice's own side of T4, as a program would use it: messages through `accept`, an agent that answers at once, replies
 * stored. `collect` is what the gateway does by default (what came meanwhile is one turn), `followup` makes a turn of
 * each message, as the others make a job of each.
 */
import { join } from "node:path"
import * as Agent from "@sluice/runtime/Agent"
import { Gateway } from "@sluice/runtime/Gateway"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as Stream from "effect/Stream"
import { journal } from "../store.ts"
import { type Contestant, type Outcome, sendAll, tally } from "./Contestant.ts"

export const sluice =
  (mode: "collect" | "followup") =>
  async (folder: string): Promise<Contestant> => {
    let running = tally(0)
    let turns = 0
    const agent = Agent.make({
      open: () =>
        Effect.succeed({
          answer: (turn) => {
            turns++
            for (const { id } of turn.messages) {
              const [, conversation, index] = id.split("-")
              running.handled({ conversation: Number(conversation), index: Number(index) })
              running.completed()
            }
            return Stream.succeed(Agent.text("done"))
          }
        })
    })
    const gateway = Gateway.layer({
      agents: { main: agent },
      debounce: { quiet: 0 },
      queue: { cap: 1_000_000, mode },
      drain: { timeout: "5 seconds", startWithin: 0 }
    })
    const runtime = ManagedRuntime.make(Layer.provideMerge(gateway, journal(join(folder, `${mode}.db`))))
    const { accept, audit } = await runtime.runPromise(Gateway)
    let all = 0
    let round = 0
    return {
      get setting() {
        return `synchronous=FULL; ${(all / Math.max(turns, 1)).toFixed(1)} messages a turn`
      },
      round: async (count): Promise<Outcome> => {
        running = tally(count)
        all += count
        round++
        const start = performance.now()
        await sendAll(count, ({ conversation, index, text }) =>
          Effect.runPromise(
            accept({ conversation: `c${conversation}`, id: `${round}-${conversation}-${index}`, sender: "kim", text })
          )
        )
        await running.all
        // Answered is not yet stored: the ledger decides. It is the journal's own: open = accepted and without a durable end.
        while ((await Effect.runPromise(audit)).open > 0) await new Promise((resolve) => setTimeout(resolve, 2))
        return { millis: performance.now() - start, faults: running.faults() }
      },
      close: () => runtime.dispose()
    }
  }
