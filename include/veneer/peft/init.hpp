// SPDX-License-Identifier: Apache-2.0
/// \file init.hpp
/// First values of LoRA that look at the weights, or at what goes through them: PiSSA, OLoRA, LoftQ, orthogonal, EVA.
///
/// Included in one source file of a program, attach and load_adapter know these by their names everywhere in it:
///   attach(model, {.init_lora_weights = "pissa"})
/// It is the only header that brings Eigen's decompositions along.
#pragma once

#include "veneer/peft/init/decompose.hpp"
#include "veneer/peft/init/eva.hpp"
