/**
 * Requests that change a running gateway: stop, restart, reload, resume, and what
 * becomes of dead letters. A stop is waited for until the process has ended and
 * its report is there, a restart until the next boot listens; neither is ever
 * waited for longer than the gateway's own deadline allows.
 */
import { markerVariable } from "@sluice/runtime/Agent"
import * as Console from "effect/Console"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Address from "../configuration/Address.ts"
import type { Place } from "../configuration/Sources.ts"
import { codes, Ending } from "../process/Exit.ts"
import { escape } from "../LogEncoder.ts"
import type { ConfigurationError } from "../configuration/Problem.ts"
import type { Recorder } from "../process/SignalRecorder.ts"
import { fileIn, readJson } from "../StateFolder.ts"
import { ask, lives, type Refused, type Silent } from "./Ask.ts"
import { epochOf, print } from "./Report.ts"
import * as Words from "./Words.ts"

type Failure = Silent | Refused | ConfigurationError | Ending

const Accepted = Schema.Struct({
  epoch: Schema.Int,
  pid: Schema.Int,
  /** Milliseconds until the deadline. */
  within: Schema.Finite,
  /** The stop that this asker had asked for before: it is over. */
  report: Schema.optionalKey(Schema.Unknown)
})

/** The report of a boot's stop from the state directory; undefined when that boot left none. */
const reportOf = (place: Place, epoch: number): unknown => {
  const found = readJson(fileIn(place.stateDirectory, "lastShutdown"))
  return epochOf(found) === epoch ? found : undefined
}

/** Looks until it finds something or the time is over: another process can't ring a doorbell here. */
const watch = Effect.fnUntraced(function* <A>(look: () => A | undefined, within: number) {
  const looking = Effect.gen(function* () {
    for (let found = look(); ; found = look()) {
      if (found !== undefined) return found
      yield* Effect.sleep(20)
    }
  })
  return Option.getOrUndefined(yield* Effect.timeoutOption(looking, within))
})

interface Options {
  readonly json: boolean
  readonly wait: boolean
  readonly recorder: Recorder
}

/** Over the deadline the watchdog ends the process; this is for a machine that is slow at that. */
const slack = 10_000

type Kind = "stop" | "restart"

const request = Effect.fnUntraced(function* (
  place: Place,
  kind: Kind,
  force = false
): Effect.fn.Return<typeof Accepted.Type, Failure> {
  const asking = place.environment[markerVariable]
  const { body } = yield* ask(place, {
    method: "POST",
    path: `/v1/admin/${kind}`,
    body: { ...(asking === undefined ? {} : { asking }), ...(force ? { force } : {}) },
    patience: 10_000
  })
  return yield* Schema.decodeUnknownEffect(Accepted)(body).pipe(
    Effect.mapError(
      () => new Ending({ code: codes.failed, lines: ["the gateway is not ready yet; try again in a moment"] })
    )
  )
})

/** Ctrl-C while a stop is waited for: the first hurries the gateway, the second ends this program. */
const impatience = ({ json, recorder, wait }: Options) => {
  const came = Deferred.makeUnsafe<void>()
  if (wait) {
    recorder.listen(() => {
      if (Deferred.isDoneUnsafe(came)) recorder.release()
      else Deferred.doneUnsafe(came, Exit.void)
    })
  }
  /** Waits for something, and hurries the gateway when somebody has had enough of it. */
  return <A>(place: Place, kind: Kind, within: number, waiting: Effect.Effect<A>): Effect.Effect<A> => {
    const hurry = Effect.gen(function* () {
      if (!json && process.stderr.isTTY) {
        yield* Console.error(`waiting for the end, within ${Words.span(within)}; Ctrl-C hurries it`)
      }
      yield* Deferred.await(came)
      yield* Console.error("hurrying the gateway; Ctrl-C again leaves it to itself")
      yield* Effect.catch(request(place, kind, true), (error) =>
        Console.error(`the gateway could not be hurried: ${escape(error.message)}`)
      )
      return yield* Effect.never
    })
    return Effect.raceFirst(waiting, hurry)
  }
}

/** `sluice stop`: asks, waits for the end of the process and prints its report. */
export const stop = Effect.fnUntraced(function* (place: Place, options: Options): Effect.fn.Return<void, Failure> {
  const patiently = impatience(options)
  const { epoch, pid, report, within } = yield* request(place, "stop")
  if (report !== undefined) return yield* print(report, options.json)
  if (!options.wait) {
    return yield* options.json
      ? Words.json({ stopping: true, epoch, pid, within })
      : Words.lines([`stopping, within ${Words.span(within)}`])
  }
  const isOver = () => (lives(pid) && Address.read(place.stateDirectory)?.epoch === epoch ? undefined : true)
  const ended = yield* patiently(place, "stop", within, watch(isOver, within + slack))
  const found = reportOf(place, epoch)
  if (found !== undefined) return yield* print(found, options.json)
  const line =
    ended === undefined
      ? `the gateway (pid ${pid}) has not ended in time`
      : "the gateway has ended without a report; its log says why"
  return yield* new Ending({ code: codes.failed, lines: [line] })
})

/** `sluice restart`: asks, waits until the next boot listens, and prints the report of the stop. */
export const restart = Effect.fnUntraced(function* (place: Place, options: Options): Effect.fn.Return<void, Failure> {
  const patiently = impatience(options)
  const { epoch, pid, report, within } = yield* request(place, "restart")
  if (report !== undefined) return yield* print(report, options.json)
  if (!options.wait) {
    return yield* options.json
      ? Words.json({ restarting: true, epoch, pid, within })
      : Words.lines([`restarting, within ${Words.span(within)}`])
  }
  const isBack = () => {
    const address = Address.read(place.stateDirectory)
    return address !== undefined && address.epoch > epoch && lives(address.pid) ? address : undefined
  }
  const next = yield* patiently(place, "restart", within, watch(isBack, within + slack + startTime))
  const found = reportOf(place, epoch)
  if (found !== undefined) yield* print(found, options.json)
  if (next === undefined) {
    return yield* new Ending({ code: codes.failed, lines: ["the gateway has not come back; its log says why"] })
  }
  if (!options.json) yield* Words.lines([`running again at ${escape(next.url)} (pid ${next.pid}, boot ${next.epoch})`])
})

/** What a boot may take on a slow machine. */
const startTime = 20_000

/** `sluice reload`. */
export const reload = Effect.fnUntraced(function* (place: Place, json: boolean): Effect.fn.Return<void, Failure> {
  const { body } = yield* ask(place, { method: "POST", path: "/v1/admin/reload", patience: 30_000 })
  if (json) return yield* Words.json(body)
  const changes =
    typeof body === "object" && body !== null && "changes" in body && Array.isArray(body.changes) ? body.changes : []
  yield* Words.lines(changes.length === 0 ? ["nothing has changed"] : changes.map((line) => escape(String(line))))
})

/** `sluice resume`. */
export const resume = Effect.fnUntraced(function* (place: Place, json: boolean): Effect.fn.Return<void, Failure> {
  const { body } = yield* ask(place, { method: "POST", path: "/v1/admin/resume" })
  yield* json ? Words.json(body) : Words.lines(["turns that were cut off are resumed"])
})

interface Forgotten {
  readonly conversation: string
  readonly sessions: number
  readonly cancelled: number
  readonly files: number
  readonly left: ReadonlyArray<string>
}

/** `sluice forget <conversation> --yes`: 1 when something of it is still to be done, and without the flag. */
export const forget = Effect.fnUntraced(function* (
  place: Place,
  { conversation, json, yes }: { readonly conversation: string; readonly json: boolean; readonly yes: boolean }
): Effect.fn.Return<void, Failure> {
  if (!yes) {
    const lines = [
      `Nothing was deleted. \`sluice forget ${escape(conversation)} --yes\` deletes what was said there, for good.`
    ]
    return yield* new Ending({ code: codes.failed, lines })
  }
  const path = `/v1/conversations/${encodeURIComponent(conversation)}` as const
  // Agents may take half a minute each to let go and to delete what they have.
  const { body } = yield* ask(place, { method: "DELETE", path, patience: 300_000 })
  const { cancelled, conversation: key, files, left, sessions } = body as Forgotten
  if (json) yield* Words.json(body)
  else {
    yield* Words.lines([
      `${escape(key)} is forgotten: ${Words.count(sessions, "session")}, ${Words.count(files, "file")}, ${Words.count(cancelled, "waiting message")} cancelled`,
      ...left.map((what) => `not yet, and tried again every hour: ${escape(what)}`)
    ])
  }
  if (left.length > 0) return yield* new Ending({ code: codes.failed, lines: [] })
})

/** `sluice dead-letters replay|discard <number>`. */
export const letter = Effect.fnUntraced(function* (
  place: Place,
  reply: number,
  action: "replay" | "discard",
  json: boolean
): Effect.fn.Return<void, Failure> {
  const { body } = yield* ask(place, { method: "POST", path: `/v1/dead-letters/${reply}/${action}` })
  yield* json
    ? Words.json(body)
    : Words.lines([`dead letter ${reply} is ${action === "replay" ? "sent again" : "discarded"}`])
})
