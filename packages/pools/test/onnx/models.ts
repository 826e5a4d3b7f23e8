// Folders with models as they are published for ONNX, a few kilobytes each and made on the spot: one that embeds words by
// a table, one whose vector of an image is its mean colour, and one that goes on with the alphabet.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Effect from "effect/Effect"
import * as Protobuf from "./protobuf.ts"

/** A folder for the scope. */
export const folder = (files: Readonly<Record<string, object | Uint8Array>>) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const made = mkdtempSync(join(tmpdir(), "sluice-onnx-"))
      for (const [path, content] of Object.entries(files)) {
        mkdirSync(join(made, path, ".."), { recursive: true })
        writeFileSync(join(made, path), content instanceof Uint8Array ? content : JSON.stringify(content))
      }
      return made
    }),
    (made) => Effect.sync(() => rmSync(made, { recursive: true, force: true }))
  )

const tokenizer = (words: ReadonlyArray<string>) => ({
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: ["[PAD]", "[UNK]", "[END]"].map((content, id) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true
  })),
  normalizer: null,
  pre_tokenizer: { type: "WhitespaceSplit" },
  post_processor: null,
  decoder: null,
  model: {
    type: "WordLevel",
    vocab: Object.fromEntries(["[PAD]", "[UNK]", "[END]", ...words].map((word, id) => [word, id])),
    unk_token: "[UNK]"
  }
})

const tokenizerConfig = {
  tokenizer_class: "PreTrainedTokenizer",
  pad_token: "[PAD]",
  unk_token: "[UNK]",
  eos_token: "[END]",
  model_max_length: 64
}

/** Each word has a vector of two numbers; a text's is their mean. */
export const words: Readonly<Record<string, readonly [number, number]>> = { up: [0, 2], right: [4, 0], north: [0, 1] }

export const embedder = () => {
  const names = Object.keys(words)
  const table = [[9, 9], [0, 0], [0, 0], ...Object.values(words)].flat()
  return {
    "config.json": { model_type: "bert", hidden_size: 2, vocab_size: names.length + 3 },
    "tokenizer.json": tokenizer(names),
    "tokenizer_config.json": tokenizerConfig,
    "onnx/model.onnx": Protobuf.model({
      inputs: ["input_ids", "attention_mask"].map((name) => ({ name, type: "int64", dims: ["batch", "length"] })),
      outputs: [{ name: "last_hidden_state", type: "float", dims: ["batch", "length", 2] }],
      constants: [{ name: "table", type: "float", dims: [table.length / 2, 2], values: table }],
      nodes: [{ op: "Gather", inputs: ["table", "input_ids"], output: "last_hidden_state" }]
    })
  }
}

/** The mean of each colour, from 0 to 1. */
export const eye = () => ({
  "config.json": { model_type: "vit", image_size: 4 },
  "preprocessor_config.json": {
    image_processor_type: "ViTImageProcessor",
    do_resize: true,
    size: { height: 4, width: 4 },
    do_rescale: true,
    rescale_factor: 1 / 255,
    do_normalize: false,
    resample: 2
  },
  "onnx/model.onnx": Protobuf.model({
    inputs: [{ name: "pixel_values", type: "float", dims: ["batch", 3, "height", "width"] }],
    outputs: [{ name: "pooler_output", type: "float", dims: ["batch", 3] }],
    constants: [],
    nodes: [
      {
        op: "ReduceMean",
        inputs: ["pixel_values"],
        output: "pooler_output",
        attributes: { axes: [2, 3], keepdims: 0 }
      }
    ]
  })
})

export const letters = ["a", "b", "c", "d", "e", "f", "g", "h"]

/** After each letter comes the next one, after the last one the end. */
export const writer = () => {
  const size = letters.length + 3
  // Of each token the scores of all that could follow.
  const scores = Array.from({ length: size }, (_, token) => {
    const next = token < 3 ? 3 : token + 1 < size ? token + 1 : 2
    return Array.from({ length: size }, (_, other) => (other === next ? 1 : 0))
  }).flat()
  const cache = (name: string, length: string): Protobuf.Value => ({
    name,
    type: "float",
    dims: ["batch", 1, length, 2]
  })
  return {
    "config.json": {
      model_type: "llama",
      architectures: ["LlamaForCausalLM"],
      hidden_size: 2,
      num_attention_heads: 1,
      num_key_value_heads: 1,
      num_hidden_layers: 1,
      vocab_size: size,
      eos_token_id: 2,
      pad_token_id: 0,
      max_position_embeddings: 32
    },
    "generation_config.json": { eos_token_id: 2, pad_token_id: 0 },
    "tokenizer.json": tokenizer(letters),
    "tokenizer_config.json": {
      ...tokenizerConfig,
      chat_template: "{% for message in messages %}{{ message['content'] + ' ' }}{% endfor %}"
    },
    "onnx/model.onnx": Protobuf.model({
      inputs: [
        { name: "input_ids", type: "int64", dims: ["batch", "length"] },
        { name: "attention_mask", type: "int64", dims: ["batch", "all"] },
        cache("past_key_values.0.key", "past"),
        cache("past_key_values.0.value", "past")
      ],
      outputs: [
        { name: "logits", type: "float", dims: ["batch", "length", size] },
        cache("present.0.key", "all"),
        cache("present.0.value", "all")
      ],
      constants: [
        { name: "scores", type: "float", dims: [size, size], values: scores },
        { name: "keys", type: "float", dims: [size, 2], values: Array.from({ length: size * 2 }, () => 0) },
        { name: "one", type: "int64", dims: [1], values: [1] }
      ],
      nodes: [
        { op: "Gather", inputs: ["scores", "input_ids"], output: "logits" },
        { op: "Gather", inputs: ["keys", "input_ids"], output: "flat" },
        { op: "Unsqueeze", inputs: ["flat", "one"], output: "own" },
        {
          op: "Concat",
          inputs: ["past_key_values.0.key", "own"],
          output: "present.0.key",
          attributes: { axis: 2 }
        },
        {
          op: "Concat",
          inputs: ["past_key_values.0.value", "own"],
          output: "present.0.value",
          attributes: { axis: 2 }
        }
      ]
    })
  }
}
