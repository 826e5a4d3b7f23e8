/**
 * The command line: one program, a subcommand for each thing that people do with
 * a gateway. What a subcommand needs is imported when it runs, so that `run` does
 * not pay for the tools, nor a tool for the gateway.
 */
import * as Argument from "effect/cli/Argument"
import * as CliConfig from "effect/cli/CliConfig"
import * as CliOutput from "effect/cli/CliOutput"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as GlobalFlag from "effect/cli/GlobalFlag"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Sources from "./configuration/Sources.ts"
import type { Name, Recorder } from "./process/SignalRecorder.ts"

/** The signals that have come since the first line of the program. */
export class Recorded extends Context.Service<Recorded, Recorder>()("@sluice/gateway/Recorded") {}

/** A mistake is told in a line or two with the way to the help; the whole of it would push the mistake out of sight. */
const presenter = CliOutput.layerPresenter({
  present: Effect.fnUntraced(function* (event: CliOutput.Presenter.Event) {
    if (event._tag !== "InvalidInvocation") return yield* CliOutput.defaultPresenter.present(event)
    const { formatErrors } = yield* CliOutput.Formatter
    yield* Console.error(`${formatErrors(event.errors).trim()}\n\nSee: ${event.commandPath.join(" ")} --help`)
  })
})

/** What every command does with its flags and mistakes. */
export const conventions = Layer.merge(
  presenter,
  CliConfig.layer({ builtIns: [GlobalFlag.Help, GlobalFlag.Version, GlobalFlag.Completions] })
)

const config = Flag.String("config").pipe(
  Flag.withAlias("c"),
  Flag.withDescription("Configuration file (SLUICE_CONFIG; ./sluice.yaml when it is there)"),
  Flag.optional
)
const stateDir = Flag.String("state-dir").pipe(
  Flag.withDescription("State directory (SLUICE_STATE_DIR; .sluice)"),
  Flag.optional
)
const json = Flag.Boolean("json").pipe(Flag.withDescription("Print one JSON document"), Flag.withDefault(false))
const noWait = Flag.Boolean("no-wait").pipe(
  Flag.withDescription("Return at once instead of waiting for the end"),
  Flag.withDefault(false)
)

const everywhere = { config, stateDir }

interface Everywhere {
  readonly config: Option.Option<string>
  readonly stateDir: Option.Option<string>
}

const flag = (
  path: ReadonlyArray<string>,
  name: string,
  value: Option.Option<string | number>
): ReadonlyArray<Sources.Flag> => (Option.isSome(value) ? [{ path, name, value: String(value.value) }] : [])

const sourcesOf = (given: Everywhere, flags: ReadonlyArray<Sources.Flag> = []): Sources.Sources => ({
  environment: process.env,
  folder: process.cwd(),
  file: Option.getOrUndefined(given.config),
  flags: [...flag(["stateDirectory"], "--state-dir", given.stateDir), ...flags]
})

/** Everything but `run` ends by a signal as any program does; but for one that is used otherwise. */
const releaseBut = (but: Name | undefined) =>
  Effect.flatMap(Recorded, (recorder) => Effect.sync(() => recorder.release(but)))
const release = releaseBut(undefined)

const placeOf = (given: Everywhere, but?: Name) =>
  Effect.gen(function* () {
    yield* releaseBut(but)
    const { place } = yield* Effect.promise(() => import("./configuration/Sources.ts"))
    return yield* place(sourcesOf(given))
  })

const settings = {
  ...everywhere,
  host: Flag.String("host").pipe(Flag.withDescription("Address to listen on (SLUICE_HOST)"), Flag.optional),
  port: Flag.String("port").pipe(
    Flag.withAlias("p"),
    Flag.withDescription("Port to listen on, 0 for any free one (SLUICE_PORT)"),
    Flag.optional
  ),
  logLevel: Flag.String("log-level").pipe(
    Flag.withDescription("trace, debug, info, warn, error or none (SLUICE_LOG_LEVEL)"),
    Flag.optional
  ),
  logFormat: Flag.String("log-format").pipe(
    Flag.withDescription("auto, pretty or json (SLUICE_LOG_FORMAT)"),
    Flag.optional
  ),
  set: Flag.KeyValuePair("set").pipe(
    Flag.withDescription("Any setting by its key, such as --set drain.timeout=10s"),
    Flag.withDefault({})
  )
}

interface Settings extends Everywhere {
  readonly host: Option.Option<string>
  readonly port: Option.Option<string>
  readonly logLevel: Option.Option<string>
  readonly logFormat: Option.Option<string>
  readonly set: { readonly [key: string]: string }
}

const settingsOf = (given: Settings): Sources.Sources =>
  sourcesOf(given, [
    ...Object.entries(given.set).map(([key, value]) => ({ path: key.split("."), name: "--set", value })),
    ...flag(["http", "host"], "--host", given.host),
    ...flag(["http", "port"], "--port", given.port),
    ...flag(["log", "level"], "--log-level", given.logLevel),
    ...flag(["log", "format"], "--log-format", given.logFormat)
  ])

const tools = Effect.promise(() => import("./tools/Status.ts"))
const requests = Effect.promise(() => import("./tools/Stop.ts"))

const run = Command.make("run", settings, (given) =>
  Effect.gen(function* () {
    const { run } = yield* Effect.promise(() => import("./Program.ts"))
    yield* run(settingsOf(given), yield* Recorded)
  })
).pipe(Command.withDescription("Run the gateway in the foreground"))

const chat = Command.make(
  "chat",
  {
    ...everywhere,
    name: Flag.String("as").pipe(
      Flag.withDescription("Your name, and the conversation's"),
      Flag.withDefault("terminal")
    )
  },
  (given) =>
    Effect.gen(function* () {
      const { chat } = yield* Effect.promise(() => import("./tools/Chat.ts"))
      yield* chat(yield* placeOf(given), given.name)
    })
).pipe(Command.withDescription("Talk to the running gateway in this terminal"))

const status = Command.make("status", { ...everywhere, json }, (given) =>
  Effect.gen(function* () {
    yield* (yield* tools).status(yield* placeOf(given), given.json)
  })
).pipe(Command.withDescription("Whether the gateway runs and what it is doing"))

const of = Flag.String("of").pipe(
  Flag.withDescription("Only those of this conversation, such as http/kim"),
  Flag.optional
)

const sessions = Command.make("sessions", { ...everywhere, json, of }, (given) =>
  Effect.gen(function* () {
    yield* (yield* tools).sessions(yield* placeOf(given), Option.getOrUndefined(given.of), given.json)
  })
).pipe(Command.withDescription("Every session: what it does, its persona and agent, what waits"))

const command = Command.make(
  "command",
  {
    ...everywhere,
    json,
    sender: Flag.String("as").pipe(Flag.withDescription("Who gives it"), Flag.withDefault("operator")),
    conversation: Argument.String("conversation").pipe(
      Argument.withDescription("As `sluice sessions` shows it, such as http/kim"),
      Argument.optional
    ),
    words: Argument.String("words").pipe(
      Argument.withDescription("The command with its arguments, such as /model opus; without one they are listed"),
      Argument.variadic()
    )
  },
  (given) =>
    Effect.gen(function* () {
      const { command } = yield* Effect.promise(() => import("./tools/Command.ts"))
      yield* command(yield* placeOf(given), { ...given, conversation: Option.getOrUndefined(given.conversation) })
    })
).pipe(Command.withDescription("Give a conversation's session a command, as people do in the chat: /model, /stop, ..."))

const usage = Command.make(
  "usage",
  {
    ...everywhere,
    json,
    conversation: Argument.String("conversation").pipe(
      Argument.withDescription("Only this one, such as http/kim"),
      Argument.optional
    )
  },
  (given) =>
    Effect.gen(function* () {
      const { usage } = yield* Effect.promise(() => import("./tools/Usage.ts"))
      yield* usage(yield* placeOf(given), Option.getOrUndefined(given.conversation), given.json)
    })
).pipe(Command.withDescription("What turns used and cost, today and this month"))

const pools = Command.make("pools", { ...everywhere, json }, (given) =>
  Effect.gen(function* () {
    const { pools } = yield* Effect.promise(() => import("./tools/Pools.ts"))
    yield* pools(yield* placeOf(given), given.json)
  })
).pipe(Command.withDescription("How the pools of models are: requests, workers, memory"))

const audit = Command.make("audit", { ...everywhere, json }, (given) =>
  Effect.gen(function* () {
    yield* (yield* tools).audit(yield* placeOf(given), given.json)
  })
).pipe(Command.withDescription("The ledger: what became of every accepted message"))

const report = Command.make("report", { ...everywhere, json }, (given) =>
  Effect.gen(function* () {
    const { report } = yield* Effect.promise(() => import("./tools/Report.ts"))
    yield* report(yield* placeOf(given), given.json)
  })
).pipe(Command.withDescription("The report of the last stop"))

const check = Command.make("check", { ...settings, json }, (given) =>
  Effect.gen(function* () {
    yield* release
    const { check } = yield* Effect.promise(() => import("./tools/Check.ts"))
    yield* check(settingsOf(given), given.json)
  })
).pipe(Command.withDescription("Validate the configuration without starting"))

const doctor = Command.make("doctor", { ...settings, json }, (given) =>
  Effect.gen(function* () {
    yield* release
    const { doctor } = yield* Effect.promise(() => import("./tools/Doctor.ts"))
    yield* doctor(settingsOf(given), given.json)
  })
).pipe(Command.withDescription("Look for what usually goes wrong, with remedies"))

const stop = Command.make("stop", { ...everywhere, json, noWait }, (given) =>
  Effect.gen(function* () {
    const { json, noWait } = given
    const place = yield* placeOf(given, noWait ? undefined : "SIGINT")
    yield* (yield* requests).stop(place, { json, wait: !noWait, recorder: yield* Recorded })
  })
).pipe(Command.withDescription("Stop the gateway and print the report; Ctrl-C hurries it"))

const restart = Command.make("restart", { ...everywhere, json, noWait }, (given) =>
  Effect.gen(function* () {
    const { json, noWait } = given
    const place = yield* placeOf(given, noWait ? undefined : "SIGINT")
    yield* (yield* requests).restart(place, { json, wait: !noWait, recorder: yield* Recorded })
  })
).pipe(Command.withDescription("Restart the gateway and wait until it is back"))

const reload = Command.make("reload", { ...everywhere, json }, (given) =>
  Effect.gen(function* () {
    yield* (yield* requests).reload(yield* placeOf(given), given.json)
  })
).pipe(Command.withDescription("Read the configuration again and apply agents, personas, channels and secrets"))

const resume = Command.make("resume", { ...everywhere, json }, (given) =>
  Effect.gen(function* () {
    yield* (yield* requests).resume(yield* placeOf(given), given.json)
  })
).pipe(Command.withDescription("End the pause of automatic resume after repeated crashes"))

const forget = Command.make(
  "forget",
  {
    ...everywhere,
    json,
    conversation: Argument.String("conversation").pipe(
      Argument.withDescription("As `sluice sessions` shows it, such as http/kim")
    ),
    yes: Flag.Boolean("yes").pipe(
      Flag.withDescription("Delete it: without this nothing is deleted"),
      Flag.withDefault(false)
    )
  },
  (given) =>
    Effect.gen(function* () {
      yield* (yield* requests).forget(yield* placeOf(given), given)
    })
).pipe(Command.withDescription("Delete what was said in a conversation: texts, files, and what its agents stored"))

const exported = Command.make(
  "export",
  {
    ...everywhere,
    conversation: Argument.String("conversation").pipe(
      Argument.withDescription("As `sluice sessions` shows it, such as http/kim")
    ),
    name: Argument.String("name").pipe(
      Argument.withDescription("One of its sessions; the current one without it"),
      Argument.optional
    )
  },
  (given) =>
    Effect.gen(function* () {
      const { transcript } = yield* Effect.promise(() => import("./tools/Export.ts"))
      yield* transcript(yield* placeOf(given), given.conversation, Option.getOrUndefined(given.name))
    })
).pipe(Command.withDescription("Print what was said in a session, as Markdown"))

const letters = (given: Everywhere & { readonly json: boolean }) =>
  Effect.gen(function* () {
    yield* (yield* tools).deadLetters(yield* placeOf(given), given.json)
  })

const number = Argument.Int("number").pipe(Argument.withDescription("Number of the dead letter, as the list shows it"))

const act = (action: "replay" | "discard", description: string) =>
  Command.make(action, { ...everywhere, json, number }, (given) =>
    Effect.gen(function* () {
      yield* (yield* requests).letter(yield* placeOf(given), given.number, action, given.json)
    })
  ).pipe(Command.withDescription(description))

const deadLetters = Command.make("dead-letters", { ...everywhere, json }, letters).pipe(
  Command.withDescription("Replies that could not be delivered"),
  Command.withSubcommands([
    Command.make("list", { ...everywhere, json }, letters).pipe(Command.withDescription("List them with their texts")),
    act("replay", "Send one again"),
    act("discard", "Give one up")
  ])
)

const channelTools = Effect.promise(() => import("./tools/Channels.ts"))

const listChannels = (given: Everywhere & { readonly json: boolean }) =>
  Effect.gen(function* () {
    yield* (yield* channelTools).list(yield* placeOf(given), given.json)
  })

const channelName = Argument.String("name").pipe(Argument.withDescription("As the list shows it"))

const controlChannel = (action: "stop" | "start", description: string) =>
  Command.make(action, { ...everywhere, json, name: channelName }, (given) =>
    Effect.gen(function* () {
      yield* (yield* channelTools).control(yield* placeOf(given), action, given.name, given.json)
    })
  ).pipe(Command.withDescription(description))

const channels = Command.make("channels", { ...everywhere, json }, listChannels).pipe(
  Command.withDescription("How each channel is: what is wrong with it, and since when"),
  Command.withSubcommands([
    Command.make("list", { ...everywhere, json }, listChannels).pipe(Command.withDescription("List them")),
    controlChannel("stop", "Take nothing from one and send nothing there, until it is started again"),
    controlChannel("start", "Start one that was stopped")
  ])
)

/** The whole command line. */
export const sluice = Command.make("sluice").pipe(
  Command.withDescription("A gateway for agents and chats that keeps every message it accepts"),
  Command.withSubcommands([
    run,
    chat,
    status,
    sessions,
    command,
    usage,
    pools,
    audit,
    report,
    check,
    doctor,
    stop,
    restart,
    reload,
    resume,
    forget,
    exported,
    deadLetters,
    channels
  ])
)
