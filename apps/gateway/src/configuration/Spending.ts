/**
 * The keys of the configuration that are about money: prices of models and budgets.
 * All in US dollars; nothing is spent or refused by what stands here until a turn's
 * agent says what it used.
 */
import * as Schema from "effect/Schema"
import * as Setting from "./Setting.ts"

const dollars = (meaning: string) => Setting.number(0, 1_000_000, { meaning })

/** Names of models are their providers': `gpt-5`, `llama3:8b`, `some/model@2026-01`. */
const Model = Schema.String.check(Schema.isPattern(/^[\x21-\x7e]{1,128}$/))

const Price = Schema.Struct({
  input: dollars("US dollars for a million tokens that go in. A provider that says what a turn cost is believed."),
  output: dollars("US dollars for a million tokens that come out."),
  cacheRead: Schema.optionalKey(dollars("The same for tokens read from the provider's cache; as `input` unless set.")),
  cacheWrite: Schema.optionalKey(dollars("The same for tokens written into it; as `input` unless set."))
})

/** Prices by model. */
export const Prices = Schema.Record(Model, Price)

/** What may be spent. */
export const Budgets = Schema.Struct({
  daily: Schema.optionalKey(
    dollars(
      "US dollars that turns may cost in a day of `timeZone`. Then none starts until the next; messages are kept."
    )
  ),
  monthly: Schema.optionalKey(dollars("The same for a month."))
})
