/**
 * What the operators' routes answer with: JSON that no cache keeps, and problems
 * with a stable type, as the HTTP channel has them.
 */
import * as HttpServerResponse from "effect/http/HttpServerResponse"

const headers = { "cache-control": "no-store", "x-content-type-options": "nosniff" }

/** A JSON answer. */
export const json = (body: unknown, status = 200) => HttpServerResponse.jsonUnsafe(body, { status, headers })

const titles: { readonly [type: string]: string } = {
  starting: "The gateway is starting",
  stopping: "The gateway is stopping",
  storage: "The store can't be read",
  invalid: "The request can't be accepted as it is",
  "not-found": "There is nothing here",
  "not-now": "That can't be done now",
  configuration: "The configuration can't be used"
}

/** A problem. */
export const problem = (
  status: number,
  type: string,
  detail: string,
  extra: { readonly [key: string]: unknown } = {}
) =>
  HttpServerResponse.jsonUnsafe(
    { type: `urn:sluice:problem:${type}`, title: titles[type] ?? type, status, detail, ...extra },
    {
      status,
      contentType: "application/problem+json",
      headers: status === 503 ? { "retry-after": "1", ...headers } : headers
    }
  )
