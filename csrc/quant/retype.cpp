#include "quant/retype.h"

#include "quant/retyped_file.h"
#include "quant/source_model.h"
#include "quant/tensor_choice.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace slmprof {

void retype_outline(const std::string & source, const std::string & target, const std::string & file_type) {
    const int         number = file_type_number(file_type);
    const SourceModel model(source);
    Recipe            recipe;
    recipe.file_type = file_type;

    const std::vector<TensorSpec> & tensors = model.tensors();
    const std::vector<TensorChoice> choices = choose_tensor_types(model.model(), recipe, tensors);
    std::vector<NamedType>          types;
    for (size_t i = 0; i < tensors.size(); ++i) {
        types.push_back({ tensors[i].name, choices[i].type });
    }
    write_retyped_outline(model, target, types, { { "general.file_type", uint32_t(number) } });
}

} // namespace slmprof
