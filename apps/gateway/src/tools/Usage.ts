/**
 * `sluice usage`: what turns used and cost, today, this month and by what. Asks the
 * running gateway, and the store itself when there is none; only the gateway knows
 * the budgets that are in force.
 */
import * as Clock from "effect/Clock"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Uncounted, UsageSum } from "@sluice/runtime/Journal"
import type { Place } from "../configuration/Sources.ts"
import { escape } from "../LogEncoder.ts"
import { overview, type Sums, type Usage } from "../Usage.ts"
import { either, type Failure, note, sessionsOf } from "./Status.ts"
import * as Words from "./Words.ts"

const whole = new Intl.NumberFormat("en-US")

/** Dollars with as many digits as tell something. */
const money = (dollars: number): string =>
  `${dollars >= 1 || dollars === 0 ? dollars.toFixed(2) : dollars.toPrecision(2)} USD`

const tokens = ({ cacheReadTokens, cacheWriteTokens, inputTokens, outputTokens }: Sums): string => {
  const cache = cacheReadTokens + cacheWriteTokens
  const cached =
    cache === 0 ? "" : ` (cache: ${whole.format(cacheReadTokens)} read, ${whole.format(cacheWriteTokens)} written)`
  return `${whole.format(inputTokens)} tokens in${cached}, ${whole.format(outputTokens)} out`
}

const line = (sums: Sums, budget: number | undefined): string =>
  `${Words.count(sums.turns, "turn")}, ${tokens(sums)}, ${money(sums.cost)}${budget === undefined ? "" : ` of ${money(budget)}`}`

const table = (what: string, sums: ReadonlyArray<UsageSum>): ReadonlyArray<string> =>
  sums.length === 0
    ? []
    : [
        "",
        ...Words.table(
          [what, "turns", "tokens in", "out", "cost"],
          sums.map((sum) => [
            sum.name === "" ? "(not named)" : sum.name,
            whole.format(sum.turns),
            whole.format(sum.inputTokens),
            whole.format(sum.outputTokens),
            // Somebody would take 0.00 for a price.
            sum.cost === 0 && sum.inputTokens + sum.outputTokens > 0 ? "no price" : money(sum.cost)
          ])
        )
      ]

const others = ({ agents, complete }: Uncounted): string => {
  const turns = agents.reduce((sum, one) => sum + one.turns, 0)
  return `${complete ? "" : "at least "}${Words.count(turns, "turn")}`
}

/** Turns that are not in the sums: an agent that says nothing would seem to have done nothing. */
const uncountedLines = ({ month, today }: Usage["uncounted"]): ReadonlyArray<string> => {
  if (month.agents.length === 0) return []
  const by = month.agents.map(({ name, turns }) => `${escape(name)} ${whole.format(turns)}`)
  return [
    `not in it  ${others(today)} today, ${others(month)} this month (${by.join(", ")}), whose agent does not say what it used`
  ]
}

const usageLines = (usage: Answer): ReadonlyArray<string> => [
  `today      ${escape(usage.day)} (${escape(usage.timeZone)}): ${line(usage.today, usage.budgets.daily)}`,
  `month      ${escape(usage.day.slice(0, 7))}: ${line(usage.month, usage.budgets.monthly)}`,
  ...(usage.hold === undefined
    ? []
    : [
        `held       the budget for this ${usage.hold.period} is used up; turns start again at ${escape(usage.hold.untilText)}`
      ]),
  ...(usage.uncounted === undefined ? [] : uncountedLines(usage.uncounted)),
  ...table("day", usage.days),
  ...table("model, this month", usage.models),
  ...table("agent, this month", usage.agents),
  ...table("session, this month", usage.sessions.slice(0, 20))
]

const today = (timeZone: string | undefined, now: number) => {
  const zone = Option.getOrElse(DateTime.zoneMakeNamed(timeZone ?? ""), DateTime.zoneMakeLocal)
  return {
    timeZone: DateTime.zoneToString(zone),
    day: DateTime.formatIsoDate(DateTime.makeZonedUnsafe(now, { timeZone: zone })),
    budgets: {},
    hold: undefined
  }
}

/** A gateway of an earlier version counts only what is told. */
type Answer = Omit<Usage, "uncounted"> & Partial<Pick<Usage, "uncounted">>

/** `sluice usage`. */
export const usage = Effect.fnUntraced(function* (
  place: Place,
  conversation: string | undefined,
  json: boolean
): Effect.fn.Return<void, Failure> {
  const now = yield* Clock.currentTimeMillis
  const query = conversation === undefined ? "" : `?conversation=${encodeURIComponent(conversation)}`
  const { answer, source } = yield* either<Answer>(place, `/v1/usage${query}`, (reads) =>
    Effect.gen(function* () {
      const [first] = conversation === undefined ? [] : yield* sessionsOf(reads, conversation)
      return yield* overview(reads, today(place.timeZone, now), first?.conversationKey)
    })
  )
  if (json) return yield* Words.json({ from: source.from, ...answer })
  yield* Words.lines([...usageLines(answer), ...note(source)])
})
