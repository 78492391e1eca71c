// SPDX-License-Identifier: Apache-2.0
#include "data_flags.hpp"

#include "veneer/text/chat_folder.hpp"

namespace veneer::program {

void DataFlags::add_to(CLI::App& command) {
  command
      .add_option("--train-on", train_on,
                  "trained tokens: the completion, or the assistant's replies (completion), or all")
      ->check(CLI::IsMember({"completion", "all"}))
      ->capture_default_str();
  command.add_option("--chat-template", chat_template,
                     "template of conversations: a known template by name, or a .jinja file; by default the model's");
  command.add_flag("--plain-content", plain_content, "special tokens inside the content of a message are text");
}

ExampleOptions DataFlags::options(const std::filesystem::path& model, const std::optional<Tokenizer>& tokenizer,
                                  const LlamaConfig* config) const {
  ExampleOptions options;
  options.train_on = train_on == "all" ? TrainOn::all : TrainOn::completion;
  options.plain_content = plain_content;
  if (config != nullptr) options.rows = static_cast<std::int32_t>(config->vocab_size);
  if (tokenizer && !tokenizer->eos_id() && config != nullptr && !config->eos_token_ids.empty())
    options.eos_id = static_cast<std::int32_t>(config->eos_token_ids[0]);
  try {
    const auto family = chat_template.empty() ? std::nullopt : std::optional(chat_template);
    options.chat = read_chat_template(model, family);
    if (tokenizer) check_chat_tokenizer(*options.chat, *tokenizer);
  } catch (const FormatError& error) {
    options.chat.reset();
    options.no_chat = error.what();
  }
  return options;
}

}  // namespace veneer::program
