/**
 * Which worlds there are: one for each label and the first, second and third time that
 * it is come to, and chains in which one gateway after the other dies at the same
 * place, because some promises are about the second and the third crash only.
 */
import { boundaries } from "../../../../../packages/runtime/src/internal/boundary.ts"
import type { Bot } from "../../world/telegram.ts"
import { alone } from "./deeds.ts"
import type { Grave } from "./lives.ts"

/** A world of this level. */
export interface Point {
  readonly name: string
  /** What people do; everything by default. */
  readonly parts?: ReadonlyArray<string>
  /** One gateway for each; another one follows and brings everything to its end. */
  readonly graves: ReadonlyArray<Grave>
  /** The first gateways, so many, are asked to stop as soon as a turn of this conversation runs. */
  readonly stops?: { readonly at: string; readonly times: number }
  /** Where gateways stand still without dying, and for how many milliseconds: `after:admit=60`. */
  readonly stand?: string
  /** Messages that an agent must have answered in the end: nothing that happens here sets them aside. */
  readonly answered?: ReadonlyArray<string>
  /** There is a bot on Telegram. */
  readonly telegram?: Bot
  /** A message that must have been set aside in the end, and the reason that is given for it. */
  readonly aside?: { readonly id: string; readonly why: "crashed" | "cut" }
}

// While a round is held inside its transaction nothing more can be committed, so that standing there shows all that a
// sudden death there would, and what was done too early besides.
const lingering = 25

/** A grave; inside a transaction the gateway lingers, so that what must not happen before the commit has the time to. */
export const grave = (label: string, nth = 1): Grave => ({
  label,
  nth,
  linger: label.startsWith("inside:") ? lingering : 0
})

/** The label and its hit in words. */
export const named = ({ label, nth }: Grave): string => (nth === 1 ? label : `${label}, time ${nth}`)

const pointOf = (...graves: ReadonlyArray<Grave>): Point => ({ name: graves.map(named).join(", then "), graves })

/** One world for each grave. */
export const apart = (graves: ReadonlyArray<Grave>): ReadonlyArray<Point> => graves.map((one) => pointOf(one))

/** One world for each label at its n-th crossing, where there is one. */
export const singles = (crossed: ReadonlyMap<string, number>, nth: number): ReadonlyArray<Point> =>
  apart(boundaries.filter((label) => (crossed.get(label) ?? 0) >= nth).map((label) => grave(label, nth)))

const ofBoot = (label: string) => /^boot:|:open$/.test(label)
const ofStop = (label: string) => /^stop:|:(premark|report)$/.test(label)

/**
 * Each label once, in fewer worlds: one that every boot comes to, two that something comes to while people do what
 * they do, one that every stop comes to, each in a life of its own. The two are far from each other in the list, so that
 * the first death does not take away what would have come to the second.
 */
export const together = (crossed: ReadonlyMap<string, number>): ReadonlyArray<Point> => {
  const known = boundaries.filter((label) => crossed.has(label))
  const boots = known.filter(ofBoot)
  const stops = known.filter(ofStop)
  const others = known.filter((label) => !ofBoot(label) && !ofStop(label))
  const worlds = Math.max(boots.length, stops.length, Math.ceil(others.length / 2))
  return Array.from({ length: worlds }, (_, index) =>
    pointOf(
      ...[boots[index], others[index], others[index + worlds], stops[index]].flatMap((label) =>
        label === undefined ? [] : [grave(label)]
      )
    )
  )
}

/** Labels that nothing came to. */
export const missing = (crossed: ReadonlyMap<string, number>): ReadonlyArray<string> =>
  boundaries.filter((label) => !crossed.has(label))

/**
 * Deaths in what a message on Telegram goes through, from the page that it comes in to the last edit of its answer. Every
 * second one is at the admission of the next message, so that none is set aside for what happens to it here.
 */
const onTelegram = (telegram: Bot, ...graves: ReadonlyArray<Grave>): Point => ({
  name: `Telegram, ${telegram.delivery}${telegram.webhook === true ? ", by a webhook" : ""}`,
  parts: ["telegram"],
  graves,
  stand: "",
  telegram
})

const times = (count: number, label: string): ReadonlyArray<Grave> => Array.from({ length: count }, () => grave(label))

/** Crashes of the same thing, one boot after the other. */
export const chains: ReadonlyArray<Point> = [
  // Three crashes set a turn aside; the fourth and fifth life must not run it. Two do not.
  {
    name: "a turn whose process always dies",
    parts: ["long"],
    graves: times(5, "before:settle"),
    aside: { id: "long", why: "crashed" }
  },
  { name: "a turn whose process dies twice", parts: ["long"], graves: times(2, "before:settle"), answered: ["long"] },
  { name: "an answer that dies after it was sent", parts: [alone("resend")], graves: times(4, "send:after") },
  { name: "an answer that dies before it is sent", parts: ["resend"], graves: times(2, "send:before") },
  { name: "a held answer that dies after it was sent", parts: [alone("hold")], graves: times(2, "send:after") },
  { name: "a keyed answer that dies after it was sent", parts: [alone("keyed")], graves: times(3, "send:after") },
  { name: "an edit that dies after it was sent", parts: [alone("edit")], graves: times(4, "send:after") },
  // Planned cuts are not crashes, however they end.
  {
    name: "nine stops that are cut short",
    parts: ["slow"],
    graves: times(9, "stop:intake"),
    stops: { at: "http/slow", times: 9 },
    answered: ["slow"]
  },
  // Ten of them set a turn aside; a stop that is so quick that the turn has not begun again is none.
  {
    name: "stops that are always cut short",
    parts: ["slow"],
    graves: times(12, "stop:intake"),
    stops: { at: "http/slow", times: 12 },
    aside: { id: "slow", why: "cut" }
  },
  // And a stop excuses nothing that comes after its boot.
  {
    name: "crashes after a stop that was cut short",
    parts: ["long"],
    graves: [grave("stop:intake"), ...times(5, "before:settle")],
    stops: { at: "http/long", times: 1 }
  },
  // An agent that hangs and listens to nobody is ended by the stop, in time.
  { name: "a stop with an agent that hangs", parts: ["hang"], graves: [], stops: { at: "http/hang", times: 1 } },
  // What is stored is nobody's who may leave.
  { name: "clients that leave between commit and answer", parts: ["leaver"], graves: [], stand: "after:admit=500" },
  onTelegram(
    { delivery: "edit" },
    ...[grave("send:before"), grave("before:admit"), grave("send:after"), grave("inside:admit")],
    ...[grave("inside:step", 2), grave("after:admit"), grave("send:before", 2), grave("before:admit")],
    ...[grave("send:after", 2), grave("inside:admit"), grave("after:settle"), grave("after:admit")],
    ...[grave("inside:step", 4), grave("inside:settle"), grave("after:step", 4)]
  ),
  onTelegram(
    { delivery: "plain" },
    ...[grave("send:before"), grave("before:admit"), grave("send:after"), grave("inside:admit")],
    ...[grave("inside:settle"), grave("after:admit"), grave("after:settle"), grave("inside:admit")],
    ...[grave("inside:step"), grave("before:admit"), grave("inside:step", 2)]
  ),
  onTelegram({ delivery: "edit", webhook: true }, grave("before:admit"), grave("inside:admit"), grave("after:admit")),
  { name: "boots that die before they resume", graves: [...times(2, "boot:resume"), grave("after:resume")] },
  { name: "boots that die in their opening", graves: [grave("inside:open"), grave("after:open"), grave("boot:ready")] }
]
