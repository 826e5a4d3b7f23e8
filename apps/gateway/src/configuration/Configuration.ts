/**
 * The configuration as one Schema: every key of sluice.yaml with its type,
 * default, meaning and variable. Nothing else knows a default or a bound of the
 * program; docs/configuration.md is this file as a table, held by a test.
 */
import * as DateTime from "effect/DateTime"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Agent } from "./Agents.ts"
import { Channels } from "./Channels.ts"
import { Pool } from "./Pools.ts"
import { Budgets, Prices } from "./Spending.ts"
import * as Setting from "./Setting.ts"

/** Names of agents, personas and the like: they appear in logs, commands and chats, never in paths. */
const Name = Schema.String.check(Schema.isPattern(/^[A-Za-z][A-Za-z0-9_-]{0,63}$/))

const isZone = (value: string) => Option.isSome(DateTime.zoneMakeNamed(value))

const Http = Schema.Struct({
  host: Setting.text({
    default: "127.0.0.1",
    meaning: "Address to listen on. One beyond loopback also needs `http.exposed: true`.",
    variable: "SLUICE_HOST",
    needsRestart: true
  }),
  port: Setting.integer(0, 65_535, {
    default: 4747,
    meaning: "Port to listen on; 0 takes any free one, which is printed.",
    variable: "SLUICE_PORT",
    needsRestart: true
  }),
  exposed: Setting.flag({
    default: false,
    meaning: "Allows an address beyond loopback. Put a proxy that speaks TLS in front.",
    needsRestart: true
  }),
  tokenFile: Schema.optionalKey(
    Setting.path({
      meaning:
        "File with the token that clients send; during a rotation two lines, the new one and the one before. Without it: `token` in the state directory, made at the first start.",
      variable: "SLUICE_TOKEN_FILE"
    })
  ),
  allowedHosts: Setting.list({
    default: [],
    meaning: "Names beside the loopback ones and `http.host` that a request's Host header may carry.",
    expected: 'a list of host names, such as "gateway.example.org" or "gateway.example.org:8443"',
    test: (value) => /^(?:\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?$/i.test(value),
    needsRestart: true
  }),
  allowedOrigins: Setting.list({
    default: [],
    meaning: "Origins of web pages that may change state; requests without an Origin header are not affected.",
    expected: 'a list of origins, such as "https://console.example.org"',
    test: (value) => URL.canParse(value) && new URL(value).origin === value,
    needsRestart: true
  })
})

const rate = (perSecond: number, burst: number, who: string) =>
  Schema.Struct({
    perSecond: Setting.integer(1, 1_000_000, {
      default: perSecond,
      meaning: `Messages ${who} a second over time; further ones get 429.`,
      needsRestart: true
    }),
    burst: Setting.integer(1, 10_000_000, {
      default: burst,
      meaning: `Messages ${who} at once.`,
      needsRestart: true
    })
  })

const Limits = Schema.Struct({
  body: Setting.size(1024, 64 * 1024 ** 2, {
    default: 1024 ** 2,
    meaning: "Largest body of a request, attachments not counted.",
    needsRestart: true
  }),
  attachment: Setting.size(1024, 1024 ** 3, {
    default: 25 * 1024 ** 2,
    meaning: "Largest single attachment.",
    needsRestart: true
  }),
  poolBody: Setting.size(1024, 512 * 1024 ** 2, {
    default: 32 * 1024 ** 2,
    meaning: "Largest body of a request to a pool: images are part of it, a third larger than their files.",
    needsRestart: true
  }),
  poolBodies: Setting.size(1024, 64 * 1024 ** 3, {
    default: 256 * 1024 ** 2,
    meaning: "The same of all that are here at one time, those that wait for a worker included; further ones get 429.",
    needsRestart: true
  }),
  poolBodyStall: Setting.duration("1 second", "60 minutes", {
    default: "10 seconds",
    meaning: "A request to a pool of whose body nothing comes for so long is given up (408).",
    needsRestart: true
  }),
  poolMemory: Setting.number(0.01, 1, {
    default: 0.8,
    meaning:
      "Share of the memory of the machine, or of the container, that the workers of all pools may take together.",
    needsRestart: true
  }),
  headerTimeout: Setting.duration("100 millis", "10 minutes", {
    default: "10 seconds",
    meaning: "A client that has not sent its headers by then is disconnected.",
    needsRestart: true
  }),
  requestTimeout: Setting.duration("1 second", "60 minutes", {
    default: "60 seconds",
    meaning: "A client that has not sent its whole request by then is disconnected.",
    needsRestart: true
  }),
  wait: Setting.duration("1 second", "60 minutes", {
    default: "2 minutes",
    meaning: "The longest `?wait=`; longer ones are cut to it.",
    needsRestart: true
  }),
  connections: Setting.integer(1, 1_000_000, {
    default: 4096,
    meaning: "Most open connections; further ones are closed at once.",
    needsRestart: true
  }),
  readers: Setting.integer(1, 1_000_000, {
    default: 1024,
    meaning: "Most clients that wait or stream at one time; further ones get 429.",
    needsRestart: true
  }),
  sockets: Setting.integer(1, 1_000_000, {
    default: 1024,
    meaning: "Most open WebSockets; further ones get 429.",
    needsRestart: true
  }),
  sender: rate(50, 200, "of one sender"),
  total: rate(5000, 10_000, "of everybody"),
  conversations: Setting.integer(1, 10_000_000, {
    default: 20_000,
    meaning: "Conversations whose ids are kept in memory; the others are looked up.",
    needsRestart: true
  }),
  waitingWrites: Setting.integer(64, 1_000_000, {
    default: 4096,
    meaning: "Most messages that wait for the disk; further ones get 503 with Retry-After.",
    needsRestart: true
  }),
  waitingBytes: Setting.size(1024 ** 2, 4 * 1024 ** 3, {
    default: 64 * 1024 ** 2,
    meaning: "The same in bytes.",
    needsRestart: true
  })
})

const Drain = Schema.Struct({
  timeout: Setting.duration("1 second", "24 hours", {
    default: "30 seconds",
    meaning: "A stop has ended by then. A supervisor with a smaller budget shortens it.",
    needsRestart: true
  }),
  startWithin: Setting.duration("0 millis", "24 hours", {
    default: "5 seconds",
    meaning: "How long into a stop queued work may still start; `0 millis` = not at all.",
    needsRestart: true
  }),
  announce: Setting.duration("0 millis", "60 seconds", {
    default: "0 millis",
    meaning:
      "How long a stop goes on serving after /readyz says 503, for load balancers that look only sometimes. 5 s in Kubernetes.",
    needsRestart: true
  }),
  pools: Setting.duration("0 millis", "24 hours", {
    default: "5 seconds",
    meaning:
      "How long a stop lets requests to pools finish that wait or run, or as long as turns take when that is longer, within `drain.timeout`; then they are interrupted."
  })
})

const Debounce = Schema.Struct({
  quiet: Setting.duration("0 millis", "10 minutes", {
    default: "300 millis",
    meaning: "A burst of messages is a turn once it has been quiet for this long. HTTP has 0: its clients don't type.",
    needsRestart: true
  }),
  atMost: Schema.optionalKey(
    Setting.duration("0 millis", "60 minutes", {
      meaning: "The longest that a burst is held, 5 x `debounce.quiet` unless set.",
      needsRestart: true
    })
  ),
  maxKeys: Setting.integer(1, 10_000_000, {
    default: 100_000,
    meaning: "Most sessions that debounce at one time; in further ones messages go straight through.",
    needsRestart: true
  })
})

const Queue = Schema.Struct({
  mode: Setting.choice(["collect", "followup", "steer", "interrupt"], {
    default: "collect",
    meaning:
      "Messages behind a running turn: all as the next turn, one turn per burst, handed to the running turn where its agent can take them, or cancel it and answer the new one.",
    needsRestart: true
  }),
  cap: Setting.integer(1, 10_000, {
    default: 20,
    meaning: "Most messages that wait behind a running turn of one session.",
    needsRestart: true
  }),
  drop: Setting.choice(["summarize", "old", "new"], {
    default: "summarize",
    meaning: "What falls at the cap: the oldest into a summary, the oldest, or the new one (refused with 429).",
    needsRestart: true
  })
})

const Session = Schema.Struct({
  idleTimeout: Setting.duration("1 minute", "120 minutes", {
    default: "10 minutes",
    meaning: "An agent without a turn for this long is closed, silently.",
    needsRestart: true
  }),
  maxLive: Setting.integer(1, 1_000_000, {
    default: 1000,
    meaning: "Most sessions in memory; the least recently used idle one makes room.",
    needsRestart: true
  })
})

const Turns = Schema.Struct({
  limit: Setting.integer(1, 10_000, {
    default: 32,
    meaning: "Most turns at one time over all sessions, given out fairly.",
    needsRestart: true
  }),
  backoff: Setting.durations("0 millis", "24 hours", {
    default: ["2 seconds", "10 seconds"],
    meaning: "Waits before the second and the third try of a turn that failed.",
    needsRestart: true
  })
})

const Questions = Schema.Struct({
  expireAfter: Setting.duration("0 millis", "36500 days", {
    default: "1 hour",
    meaning:
      "How long a question of an agent's is waited for; the agent goes on without an answer then. `0 millis` = for ever.",
    needsRestart: true
  }),
  onStop: Setting.choice(["keep", "cancel"], {
    default: "keep",
    meaning: "Open questions at a stop: people can answer them over the restart, or they end and are asked again.",
    needsRestart: true
  })
})

const Notices = Schema.Struct({
  restart: Setting.flag({
    default: true,
    meaning:
      "Whether people in chats whose answer will be late because of a stop hear of it, and hear when it goes on: once each in ten minutes.",
    needsRestart: true
  })
})

const Persona = Schema.Struct({
  agent: Setting.text({ meaning: "Name of the agent that speaks.", expected: "the name of one of the `agents`" }),
  systemPrompt: Schema.optionalKey(Setting.text({ meaning: "What the agent is told about itself.", most: 65_536 }))
})

const Retention = Schema.Struct({
  ledger: Setting.duration("8 days", "36500 days", {
    default: "90 days",
    meaning:
      "How long an ended message is kept as a row; later it is only counted. Keys of idempotency stay for at least 8 days.",
    needsRestart: true
  }),
  transcript: Setting.duration("1 hour", "36500 days", {
    default: "90 days",
    meaning: "How long texts are kept.",
    needsRestart: true
  }),
  attachments: Setting.duration("1 hour", "36500 days", {
    default: "30 days",
    meaning: "How long files are kept.",
    needsRestart: true
  }),
  deadLetters: Setting.duration("1 hour", "36500 days", {
    default: "30 days",
    meaning: "How long replies that could not be delivered are kept for a replay.",
    needsRestart: true
  })
})

const Log = Schema.Struct({
  level: Setting.choice(["trace", "debug", "info", "warn", "error", "none"], {
    default: "info",
    meaning: "The least important lines that are printed.",
    needsRestart: true
  }),
  format: Setting.choice(["auto", "pretty", "json"], {
    default: "auto",
    meaning: "`auto`: pretty on a terminal, JSON otherwise.",
    needsRestart: true
  })
})

/** The whole file. */
export const Configuration = Schema.Struct({
  stateDirectory: Setting.path({
    default: ".sluice",
    meaning: "Folder for the store, the token and the last report, made with mode 0700. Not on a network file system.",
    variable: "SLUICE_STATE_DIR",
    needsRestart: true
  }),
  networkFileSystem: Setting.flag({
    default: false,
    meaning: "Allows a state directory on a network file system. Its locks and its flushes are not to be trusted.",
    needsRestart: true
  }),
  timeZone: Schema.optionalKey(
    Setting.text({
      meaning: "Time zone for days, budgets and the times in a terminal's log; the system's unless set.",
      expected: 'a name of the time zone database, such as "Europe/Berlin"',
      test: isZone
    })
  ),
  http: Http,
  limits: Limits,
  drain: Drain,
  debounce: Debounce,
  queue: Queue,
  session: Session,
  turns: Turns,
  questions: Questions,
  notices: Notices,
  agents: Schema.Record(Name, Agent),
  personas: Schema.Record(Name, Persona),
  prices: Prices,
  budgets: Budgets,
  channels: Channels,
  pools: Schema.Record(Name, Pool),
  retention: Retention,
  log: Log
})

/** The whole file, decoded: every default filled in, every path absolute. */
export type Configuration = typeof Configuration.Type

/** Every setting, in the order of the file. */
export const settings: ReadonlyArray<Setting.Setting> = Setting.settingsOf(Configuration)

/** What there is without any configuration: the demo agent, spoken for by one persona. */
export const builtIn: Setting.Tree = {
  ...Setting.defaultsOf(settings),
  agents: {},
  personas: {},
  prices: {},
  budgets: {},
  channels: {},
  pools: {}
}

/** A key that has a new name. The old one works for two minor versions, with a warning. */
export interface Rename {
  readonly from: ReadonlyArray<string>
  readonly to: ReadonlyArray<string>
  /** The version that stops understanding the old name. */
  readonly until: string
}

/** Keys with a new name; empty until the first one gets one. */
export const renames: ReadonlyArray<Rename> = []
