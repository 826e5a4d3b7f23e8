/**
 * I7, the other way round: nothing is set aside too early. Who is told that three
 * crashes or ten cuts were the reason has lived through as many ends of gateways: a
 * crash is one that nobody asked for, or one in a stop, which may have come before the
 * stop was stored; a cut is one in a stop, or one by which a gateway left by itself.
 */
import type { Findings } from "./Findings.ts"
import { type BootSeen, deathOf, type Gathered, type Mark } from "./Gathered.ts"
import { Moments } from "./Moments.ts"

/** How many set a turn aside. */
const needed = { crashed: 3, cut: 10, failed: 3 } as const

const momentsOf = (gathered: Gathered, end: (seen: BootSeen) => Mark | undefined) =>
  new Moments([...gathered.boots.values()].flatMap((seen) => end(seen)?.at ?? []))

/** An end that may have been a cut. */
const cutBy = ({ exited, killed, stop }: BootSeen): Mark | undefined =>
  stop === undefined && killed !== undefined ? undefined : (killed ?? exited)

/** Says what was set aside although too little had happened. */
export const judgeAsides = (gathered: Gathered, findings: Findings): void => {
  const ends = { crashed: momentsOf(gathered, deathOf), cut: momentsOf(gathered, cutBy) }
  for (const { name: conversation, shown } of gathered.conversations.values()) {
    for (const { aside, at, ids, line } of shown) {
      const sent = ids.flatMap((id) => gathered.messages.get(id)?.first ?? [])
      if (aside === undefined || sent.length === 0) continue
      // A turn that is superseded hands its count on with its messages, so the oldest of them counts.
      const from = Math.min(...sent.map((first) => first.at))
      const { times, why } = aside
      const about = { conversation, ids, lines: [...sent.map((first) => first.line), line] }
      const names = ids.join(", ")
      if (times < needed[why]) findings.breaks("I7", `${names} was set aside as ${why} after ${times} times`, about)
      if (why === "failed") continue
      const seen = ends[why].count(from, at)
      if (seen >= needed[why]) continue
      const what = `${names} was set aside as ${why}, and since it was sent ${seen} ends of gateways can have been the reason`
      findings.breaks("I7", what, about)
    }
  }
}
