// SPDX-License-Identifier: Apache-2.0
/// \file init.hpp
/// Weight- and data-dependent initialisations of LoRA: PiSSA, OLoRA, LoftQ, orthogonal, EVA.
///
/// If one source file of a program includes this header, attach and load_adapter accept their names in
/// the whole program:
///   attach(model, {.init_lora_weights = "pissa"})
/// It is the only header that includes Eigen's decompositions.
#pragma once

#include "veneer/peft/init/decompose.hpp"
#include "veneer/peft/init/eva.hpp"
