/**
 * What commands answer beyond one sentence: the status of a session, the list of
 * all of a conversation's sessions, and the help.
 */
import type { SessionSummary, Uncounted, UsageSum } from "../../Journal.ts"
import { ago, span } from "../../Notices.ts"
import type { LiveSession } from "../../Sessions.ts"
import { clean } from "../notices/words.ts"
import { commands } from "./parse.ts"

/** `/help`. */
export const help = commands
  .map(({ arguments: args, command, does }) => `${command}${args === "" ? "" : ` ${args}`}  ${does}`)
  .join("\n")

/** A turn that neither runs nor has its end. Not "suspended": that is a session that has let go of its agent. */
const resting = (live: LiveSession | undefined): string =>
  live?.retryIn === undefined ? "waiting to resume" : `next try in ${span(Math.ceil(live.retryIn / 1000) * 1000)}`

const doing = (live: LiveSession | undefined): string => {
  if (live === undefined) return "idle"
  const { state, turn } = live
  if (state.name === "suspended") return resting(live)
  const what =
    state.name === "tool" ? `running ${state.tool}` : state.name === "waiting" ? "waiting for you" : state.name
  return turn === undefined
    ? what
    : `${what}, ${span(turn.age)} so far${turn.attempt > 1 ? ` (attempt ${turn.attempt})` : ""}`
}

/** A question that is open, for who has lost sight of it. */
const asked = ({ number, options, question }: NonNullable<LiveSession["asks"]>[number]): string => {
  const choices = options.map((option, index) => `${index + 1}. ${option}`).join("\n")
  return `question ${number}: ${clean(`${question}\n${choices}`, 1000)}`
}

/** `/status`. */
export const status = (
  row: { readonly name: string; readonly agent: string },
  live: LiveSession | undefined
): string => {
  const waiting = live?.waiting ?? 0
  return [
    `${row.name}: ${doing(live)}`,
    waiting === 0 ? "nothing waits" : `${waiting} ${waiting === 1 ? "message waits" : "messages wait"}`,
    ...(live === undefined || live.waitsFor === "nothing" || live.retryIn !== undefined
      ? []
      : [`waits for ${live.waitsFor}`]),
    ...(live?.asks ?? []).map(asked),
    ...(row.agent === "" ? [] : [`agent ${row.agent}`])
  ].join("\n")
}

const amount = (count: number): string => String(Math.round(count)).replaceAll(/\B(?=(\d{3})+$)/g, ",")

/** `/usage`: of one session, in all and by model, and how many turns are not in it because their agent tells nothing. */
export const usage = (
  name: string,
  total: UsageSum | undefined,
  models: ReadonlyArray<UsageSum>,
  uncounted: Uncounted["agents"]
): string => {
  const others = uncounted.reduce((sum, { turns }) => sum + turns, 0)
  const turns = (count: number) => `${amount(count)} ${count === 1 ? "turn" : "turns"}`
  if (total === undefined) {
    return others === 0
      ? `${name} has used nothing yet`
      : `${name}: ${turns(others)}, whose agent does not say what was used`
  }
  const said = (sum: UsageSum) => {
    const cached = sum.cacheReadTokens + sum.cacheWriteTokens
    return [
      turns(sum.turns),
      `${amount(sum.inputTokens)} tokens in${cached === 0 ? "" : ` (and ${amount(cached)} cached)`}`,
      `${amount(sum.outputTokens)} out`,
      ...(sum.cost === 0 ? [] : [`$${sum.cost < 1 ? sum.cost.toFixed(4) : sum.cost.toFixed(2)}`])
    ].join(", ")
  }
  const named = models.filter((sum) => sum.name !== "")
  return [
    `${name}: ${said(total)}`,
    ...(named.length < 2 ? [] : named.map((sum) => `  ${sum.name}: ${said(sum)}`)),
    ...(others === 0 ? [] : [`and ${turns(others)} whose agent does not say what was used`])
  ].join("\n")
}

const line = (row: SessionSummary, live: LiveSession | undefined, now: number): string => {
  const standing = row.archived
    ? "archived"
    : live !== undefined && (live.turn !== undefined || live.state.name !== "idle")
      ? live.state.name === "suspended"
        ? resting(live)
        : "live"
      : row.turn !== undefined
        ? resting(undefined)
        : // In memory without a turn: its agent is kept warm.
          live === undefined && row.agent !== ""
          ? "suspended"
          : "idle"
  const who = [row.persona, row.agent].filter((name) => name !== "").join("/")
  return [
    `${row.current ? "* " : "  "}${row.name}`,
    standing,
    ...(who === "" ? [] : [who]),
    `${row.waiting} waiting`,
    `active ${ago(Math.max(0, now - row.lastActive))}`
  ].join(", ")
}

/** `/sessions`: the current one is marked with a star. */
export const list = (rows: ReadonlyArray<SessionSummary>, live: ReadonlyArray<LiveSession>, now: number): string => {
  const byId = new Map(live.map((session) => [session.id, session]))
  return rows.map((row) => line(row, byId.get(row.id), now)).join("\n")
}
