pub fn generate(_: &prost_reflect::DescriptorPool) -> String { String::new() }
