/**
 * The channels of the configuration beside HTTP, which stands under `http` and
 * always runs, because health and the tools need it. What a channel needs at run
 * time is loaded by channels/Channels.ts, and only when a configuration names it.
 */
import * as Schema from "effect/Schema"
import * as Setting from "./Setting.ts"

const isRoot = (value: string): boolean => {
  if (!URL.canParse(value)) return false
  const { hash, password, protocol, search, username } = new URL(value)
  return /^https?:$/.test(protocol) && [hash, password, search, username].every((part) => part === "")
}

const isHook = (value: string): boolean => isRoot(value) && new URL(value).protocol === "https:"

/** Where Telegram delivers to, instead of being asked. */
const Webhook = Schema.Struct({
  url: Setting.text({
    meaning: "Address that Telegram calls; it has to lead to `/v1/webhooks/telegram` here, and its host to be allowed.",
    expected: 'an address with https, such as "https://gateway.example.org/v1/webhooks/telegram"',
    test: isHook
  }),
  secretFile: Setting.path({
    meaning: "File with the secret by which a call is known to be Telegram's, which others must not be able to read."
  })
})

/** Name of the variable that holds a secret. */
const variable = (what: string, example: string) =>
  Setting.text({
    meaning: `Name of the variable that holds the ${what}, where it is not in a file.`,
    expected: `the name of a variable, such as "${example}"`,
    test: (name) => /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
  })

/** How answers are sent, on platforms that can edit a message. */
const delivery = Schema.optionalKey(
  Setting.choice(["edit", "plain", "plain-hold"], {
    meaning:
      "How answers are sent: a placeholder that becomes the answer (`edit`, unless set), or plain messages, of which after a crash one may come twice, marked (`plain`), or may be missing, shown as unknown (`plain-hold`)."
  })
)

const restartNotices = Schema.optionalKey(
  Setting.flag({
    meaning:
      "Whether its chats hear of a stop that makes their answer late, and of the return: as `notices.restart` unless set to false."
  })
)

const reactions = Schema.optionalKey(
  Setting.flag({
    meaning: "Whether a message gets 👀 when it is on disk, until it has its end: it does unless set to false."
  })
)

const nudgeAfter = Schema.optionalKey(
  Setting.duration("0 millis", "24 hours", {
    meaning:
      "An answer that was edited in so long after its placeholder is followed by a short message, because an edit doesn't ring: after 1 minute unless set."
  })
)

/** A bot on Telegram. */
const Telegram = Schema.Struct({
  tokenFile: Schema.optionalKey(
    Setting.path({
      meaning:
        "File with the bot's token, as @BotFather gave it, which others must not be able to read. Read again on a reload."
    })
  ),
  tokenVariable: Schema.optionalKey(variable("token", "TELEGRAM_TOKEN")),
  allow: Schema.optionalKey(
    Setting.ids({
      meaning:
        "Ids of people that may speak, and of groups (negative) whose members all may. Nobody unless set: `/whoami` and the log of a refused message say an id.",
      expected: "a list of numeric ids, such as [123456, -100987654321]"
    })
  ),
  pairing: Schema.optionalKey(
    Setting.flag({
      meaning:
        "Lets in whoever sends the bot the code in `telegram-code` in the state directory; each code works once. It does not unless set."
    })
  ),
  apiRoot: Schema.optionalKey(
    Setting.text({
      meaning: "Address of the Bot API, where it is a server of one's own. `https://api.telegram.org` unless set.",
      expected: 'an address without a token in it, such as "https://api.telegram.org"',
      test: isRoot
    })
  ),
  delivery,
  webhook: Schema.optionalKey(Webhook),
  restartNotices,
  reactions,
  nudgeAfter
})

const secret = (what: string) =>
  Schema.optionalKey(
    Setting.path({
      meaning: `File with ${what}, which others must not be able to read. Read again on a reload.`
    })
  )

/** An app on Slack. */
const Slack = Schema.Struct({
  tokenFile: secret("the app's bot token (`xoxb-...`)"),
  tokenVariable: Schema.optionalKey(variable("bot token", "SLACK_BOT_TOKEN")),
  signingSecretFile: secret("the app's signing secret, by which requests are known to be Slack's"),
  signingSecretVariable: Schema.optionalKey(variable("signing secret", "SLACK_SIGNING_SECRET")),
  allow: Schema.optionalKey(
    Setting.list({
      meaning:
        "Ids of people that may speak, and of channels whose members all may. Nobody unless set: the log of a refused message says an id.",
      expected: 'a list of ids, such as ["U012AB3CD", "C024BE91L"]',
      test: (id) => /^[UWCG][A-Z0-9]{2,30}$/.test(id)
    })
  ),
  pairing: Schema.optionalKey(
    Setting.flag({
      meaning:
        "Lets in whoever sends the app the code in `slack-code` in the state directory; each code works once. It does not unless set."
    })
  ),
  apiRoot: Schema.optionalKey(
    Setting.text({
      meaning: "Address of the Web API, where it is another one than `https://slack.com/api`.",
      expected: 'an address, such as "https://slack.com/api"',
      test: isRoot
    })
  ),
  delivery,
  restartNotices,
  reactions,
  nudgeAfter
})

/** The channels beside HTTP. */
export const Channels = Schema.Struct({ telegram: Schema.optionalKey(Telegram), slack: Schema.optionalKey(Slack) })
/** A bot on Telegram, as it is configured. */
export type Telegram = typeof Telegram.Type
/** An app on Slack, as it is configured. */
export type Slack = typeof Slack.Type
