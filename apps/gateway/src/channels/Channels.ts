/**
 * Channels from the configuration, beside HTTP. Their secrets are read here, at the
 * start and at each reload, and live on as redacted values. A channel that is
 * configured as before stays the same one over a reload, so its connections do too.
 */
import type { Hook } from "@sluice/channels/Telegram"
import type { Attachments } from "@sluice/runtime/Attachments"
import type { Channel } from "@sluice/runtime/Channel"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import { input, isSame } from "../agents/Agents.ts"
import type * as Configuration from "../configuration/Channels.ts"
import { ConfigurationError, type Problem, shown } from "../configuration/Problem.ts"
import type { Loaded } from "../configuration/Sources.ts"
import { readSecret } from "../Tokens.ts"
import * as Pairing from "./Pairing.ts"

/** What a channel was made from. */
interface Recipe {
  readonly text: string
  readonly secrets: ReadonlyArray<Redacted.Redacted>
}

/** Where files of messages are stored, once that is open: channels are made before. */
export interface Files {
  context: Context.Context<Attachments> | undefined
}

/** The channels of a configuration. */
export interface Made {
  readonly recipes: { readonly [name: string]: Recipe }
  readonly channels: { readonly [name: string]: Channel }
  /** What answers the webhooks of those that have one. */
  readonly webhooks: { readonly [name: string]: Hook }
  /** Every secret that a channel was given, to be kept out of the log. */
  readonly secrets: ReadonlyArray<Redacted.Redacted>
}

/** A secret of a channel, from its file or its variable. `shape` is what it looks like, `remedy` what to do when it doesn't. */
const secretOf = Effect.fnUntraced(function* (
  given: { readonly file: string | undefined; readonly variable: string | undefined },
  keys: { readonly file: ReadonlyArray<string>; readonly variable: ReadonlyArray<string> },
  loaded: Loaded,
  shape: { readonly test: RegExp; readonly remedy: string }
) {
  const path = given.file === undefined ? keys.variable : keys.file
  const from = given.file ?? given.variable ?? ""
  const [field, origin] = [path.join("."), loaded.origin(path)]
  const text = given.file === undefined ? (process.env[from] ?? "") : yield* readSecret(from, field, origin)
  const secret = text.trim()
  if (shape.test.test(secret)) return Redacted.make(secret)
  const missing = given.file === undefined ? "this variable is not set; set it, or use a file" : "it is empty"
  // The value itself is a secret, also a bad one.
  const remedy = secret === "" ? missing : shape.remedy
  return yield* new ConfigurationError({ problems: [{ field, value: shown(from), origin, remedy }] })
})

const token = {
  test: /^\d{1,20}:[A-Za-z0-9_-]{8,128}$/,
  remedy: "it holds no token of a bot; put there what @BotFather gave you, such as 123456:ABC-DEF..."
}

const hookSecret = {
  test: /^[A-Za-z0-9_-]{16,256}$/,
  remedy: "a webhook's secret has 16 to 256 letters, digits, _ and -; make one with: openssl rand -hex 32"
}

/** Two secrets, read beside each other: whoever has to correct one is told of the other, too. */
const both = <A, B>(
  one: Effect.Effect<A, ConfigurationError>,
  other: Effect.Effect<B, ConfigurationError>
): Effect.Effect<readonly [A, B], ConfigurationError> =>
  Effect.gen(function* () {
    const [first, second] = [yield* Effect.result(one), yield* Effect.result(other)]
    if (first._tag === "Success" && second._tag === "Success") return [first.success, second.success] as const
    const problems = [first, second].flatMap((found) => (found._tag === "Failure" ? found.failure.problems : []))
    return yield* new ConfigurationError({ problems })
  })

/** Where Telegram delivers to; without its secret anybody could pass for Telegram. */
const webhookOf = Effect.fnUntraced(function* ({ webhook }: Configuration.Telegram, loaded: Loaded) {
  if (webhook === undefined) return undefined
  const file = ["channels", "telegram", "webhook", "secretFile"]
  const given = { file: webhook.secretFile, variable: undefined }
  return { url: webhook.url, secret: yield* secretOf(given, { file, variable: file }, loaded, hookSecret) }
})

/** What a bot is made with, its secrets read. */
export const telegramOptions = Effect.fnUntraced(function* (given: Configuration.Telegram, loaded: Loaded) {
  const path = ["channels", "telegram"]
  const keys = { file: [...path, "tokenFile"], variable: [...path, "tokenVariable"] }
  const [secret, webhook] = yield* both(
    secretOf({ file: given.tokenFile, variable: given.tokenVariable }, keys, loaded, token),
    webhookOf(given, loaded)
  )
  const { limits, stateDirectory } = loaded.configuration
  const { allow = [], apiRoot, delivery, nudgeAfter, pairing, reactions } = given
  return {
    token: secret,
    fileLimit: Math.min(limits.attachment, 20 * 1024 ** 2),
    allow: allow.map(Number),
    ...(pairing === true ? { pairing: Pairing.make(stateDirectory, Pairing.telegram) } : {}),
    ...(apiRoot === undefined ? {} : { apiRoot }),
    ...(delivery === undefined ? {} : { delivery }),
    ...(reactions === undefined ? {} : { reactions }),
    ...(nudgeAfter === undefined ? {} : { nudgeAfter: input(nudgeAfter) }),
    ...(webhook === undefined ? {} : { webhook })
  }
})

const botToken = {
  test: /^xox[a-z]-[A-Za-z0-9-]{8,256}$/,
  remedy:
    "it holds no token of a bot; put there the Bot User OAuth Token of OAuth & Permissions, such as xoxb-12-34-AbC"
}

const signingSecret = {
  test: /^[A-Za-z0-9]{16,128}$/,
  remedy: "it holds no signing secret; put there that of Basic Information, App Credentials: 32 letters and digits"
}

/** What an app is made with, its secrets read. */
export const slackOptions = Effect.fnUntraced(function* (given: Configuration.Slack, loaded: Loaded) {
  const secret = (key: "token" | "signingSecret", shape: Parameters<typeof secretOf>[3]) => {
    const [file, variable] = [`${key}File`, `${key}Variable`] as const
    const path = ["channels", "slack"]
    const keys = { file: [...path, file], variable: [...path, variable] }
    return secretOf({ file: given[file], variable: given[variable] }, keys, loaded, shape)
  }
  const [token, signing] = yield* both(secret("token", botToken), secret("signingSecret", signingSecret))
  const { limits, stateDirectory } = loaded.configuration
  const { allow = [], apiRoot, delivery, nudgeAfter, pairing, reactions } = given
  return {
    token,
    signingSecret: signing,
    fileLimit: Math.min(limits.attachment, 20 * 1024 ** 2),
    allow,
    ...(pairing === true ? { pairing: Pairing.make(stateDirectory, Pairing.slack) } : {}),
    ...(apiRoot === undefined ? {} : { apiRoot }),
    ...(delivery === undefined ? {} : { delivery }),
    ...(reactions === undefined ? {} : { reactions }),
    ...(nudgeAfter === undefined ? {} : { nudgeAfter: input(nudgeAfter) })
  }
})

/** A channel that was made, what answers its webhook, and what it was told in confidence. */
interface Connected {
  readonly channel: Channel
  readonly webhook: Hook | undefined
  readonly secrets: ReadonlyArray<Redacted.Redacted>
}

type Connect = Effect.Effect<Connected, ConfigurationError>

// Their modules, with the HTTP client, are loaded only by who has configured them.

const telegram = Effect.fnUntraced(function* (given: Configuration.Telegram, loaded: Loaded, files: Files) {
  const options = yield* telegramOptions(given, loaded)
  const { make } = yield* Effect.promise(() => import("./TelegramChannel.ts"))
  const made = yield* make(options, files)
  return { ...made, secrets: [options.token, ...(options.webhook === undefined ? [] : [options.webhook.secret])] }
})

const slack = Effect.fnUntraced(function* (given: Configuration.Slack, loaded: Loaded, files: Files) {
  const options = yield* slackOptions(given, loaded)
  const { make } = yield* Effect.promise(() => import("./SlackChannel.ts"))
  const made = yield* make(options, files)
  return { ...made, secrets: [options.token, options.signingSecret] }
})

type Given = Configuration.Telegram | Configuration.Slack

/** With what holds for a channel of any platform. */
const asWanted = (channel: Channel, { restartNotices }: Given): Channel =>
  restartNotices === undefined ? channel : { ...channel, restartNotices }

/** What the configuration names, with how each is made. */
const wanted = (loaded: Loaded, files: Files): ReadonlyArray<readonly [name: string, given: Given, Connect]> => {
  const { channels } = loaded.configuration
  return [
    ...(channels.telegram === undefined
      ? []
      : [["telegram", channels.telegram, telegram(channels.telegram, loaded, files)] as const]),
    ...(channels.slack === undefined ? [] : [["slack", channels.slack, slack(channels.slack, loaded, files)] as const])
  ]
}

/** Makes what the configuration names. */
export const make = Effect.fnUntraced(function* (
  loaded: Loaded,
  files: Files,
  before?: { readonly connected: Made }
): Effect.fn.Return<Made, ConfigurationError> {
  const channels: Record<string, Channel> = {}
  const webhooks: Record<string, Hook> = {}
  const recipes: Record<string, Recipe> = {}
  const secrets: Array<Redacted.Redacted> = []
  const problems: Array<Problem> = []
  for (const [name, given, connect] of wanted(loaded, files)) {
    const result = yield* Effect.result(connect)
    if (result._tag === "Failure") {
      problems.push(...result.failure.problems)
      continue
    }
    const { channel, secrets: own, webhook } = result.success
    const recipe = { text: JSON.stringify([given, loaded.folder]), secrets: own }
    const old = isSame(recipe, before?.connected.recipes[name]) ? before?.connected : undefined
    channels[name] = old?.channels[name] ?? asWanted(channel, given)
    const hook = old === undefined ? webhook : old.webhooks[name]
    if (hook !== undefined) webhooks[name] = hook
    recipes[name] = recipe
    secrets.push(...own)
  }
  if (problems.length > 0) return yield* new ConfigurationError({ problems })
  return { channels, webhooks, recipes, secrets }
})
