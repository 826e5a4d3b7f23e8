/**
 * From what a model says of each token to one vector for each text. What is padding counts for nothing, on whichever
 * side it stands: a text has the same vector alone and among longer ones.
 */
import type { Pooling, Tensor } from "./library.ts"

const lengthOf = (vector: ReadonlyArray<number>): number => Math.hypot(...vector)

/** Length 1; a vector of zeros stays one. */
export const normalized = (vector: ReadonlyArray<number>): ReadonlyArray<number> => {
  const length = lengthOf(vector)
  return length === 0 ? vector : vector.map((value) => value / length)
}

/** The rows of a tensor of two dimensions. */
export const rowsOf = ({ data, dims }: Tensor): ReadonlyArray<ReadonlyArray<number>> => {
  const [count = 0, width = 0] = dims
  return Array.from({ length: count }, (_, row) =>
    Array.from({ length: width }, (_, at) => Number(data[row * width + at]))
  )
}

/** One vector for each row of a tensor of (row, token, value), by the tokens that its mask has. */
export const pooled = (hidden: Tensor, mask: Tensor, pooling: Pooling): ReadonlyArray<ReadonlyArray<number>> => {
  const [count = 0, length = 0, width = 0] = hidden.dims
  return Array.from({ length: count }, (_, row) => {
    const kept: Array<number> = []
    for (let token = 0; token < length; token++) if (Number(mask.data[row * length + token]) !== 0) kept.push(token)
    const chosen = pooling === "mean" ? kept : pooling === "cls" ? kept.slice(0, 1) : kept.slice(-1)
    return Array.from({ length: width }, (_, at) => {
      let sum = 0
      for (const token of chosen) sum += Number(hidden.data[(row * length + token) * width + at])
      return chosen.length === 0 ? 0 : sum / chosen.length
    })
  })
}

/** The first so many values of each vector, for models whose vectors may be cut. */
export const cut = (
  vectors: ReadonlyArray<ReadonlyArray<number>>,
  dimensions: number | undefined
): ReadonlyArray<ReadonlyArray<number>> | undefined => {
  if (dimensions === undefined) return vectors
  const [first = []] = vectors
  return dimensions < 1 || dimensions > first.length ? undefined : vectors.map((vector) => vector.slice(0, dimensions))
}
