import java.util.List;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.jdom.Element;
import org.jetbrains.jps.model.JpsDummyElement;
import org.jetbrains.jps.model.JpsElementFactory;
import org.jetbrains.jps.model.JpsSimpleElement;
import org.jetbrains.jps.model.ex.JpsElementTypeBase;
import org.jetbrains.jps.model.ex.JpsElementTypeWithDummyProperties;
import org.jetbrains.jps.model.library.sdk.JpsSdkType;
import org.jetbrains.jps.model.module.JpsModuleType;
import org.jetbrains.jps.model.runConfiguration.JpsRunConfigurationType;
import org.jetbrains.jps.model.serialization.JpsModelSerializerExtension;
import org.jetbrains.jps.model.serialization.java.JpsJavaModelSerializerExtension;
import org.jetbrains.jps.model.serialization.library.JpsSdkPropertiesSerializer;
import org.jetbrains.jps.model.serialization.module.JpsModulePropertiesSerializer;
import org.jetbrains.jps.model.serialization.module.JpsModuleSourceRootPropertiesSerializer;
import org.jetbrains.jps.model.serialization.runConfigurations.JpsRunConfigurationPropertiesSerializer;

/** The names that PyCharm adds to JetBrains' loader: without them it calls modules and run configurations unknown. */
public final class PythonSupport extends JpsModelSerializerExtension {
    @Override
    public List<? extends JpsModulePropertiesSerializer<?>> getModulePropertiesSerializers() {
        return List.of(new PythonModule());
    }

    /** PyCharm too has Java's two kinds of roots, for sources and for tests. */
    @Override
    public List<? extends JpsModuleSourceRootPropertiesSerializer<?>> getModuleSourceRootPropertiesSerializers() {
        return new JpsJavaModelSerializerExtension().getModuleSourceRootPropertiesSerializers();
    }

    @Override
    public List<? extends JpsSdkPropertiesSerializer<?>> getSdkPropertiesSerializers() {
        return List.of(new PythonSdk());
    }

    @Override
    public List<? extends JpsRunConfigurationPropertiesSerializer<?>> getRunConfigurationPropertiesSerializers() {
        return Stream.of("PythonConfigurationType", "tests", "CompoundRunConfigurationType")
                .map(RunConfiguration::new)
                .collect(Collectors.toList());
    }

    private static final class PythonModule extends JpsModulePropertiesSerializer<JpsDummyElement> {
        private static final class Type extends JpsElementTypeWithDummyProperties
                implements JpsModuleType<JpsDummyElement> {
            @Override
            public String toString() {
                return "PYTHON_MODULE";
            }
        }

        PythonModule() {
            super(new Type(), "PYTHON_MODULE", null);
        }

        @Override
        public JpsDummyElement loadProperties(Element component) {
            return JpsElementFactory.getInstance().createDummyElement();
        }

        @Override
        public void saveProperties(JpsDummyElement properties, Element component) {}
    }

    private static final class PythonSdk extends JpsSdkPropertiesSerializer<JpsDummyElement> {
        private static final class Type extends JpsSdkType<JpsDummyElement> {
            @Override
            public String toString() {
                return "Python SDK";
            }
        }

        PythonSdk() {
            super("Python SDK", new Type());
        }

        @Override
        public JpsDummyElement loadProperties(Element additional) {
            return JpsElementFactory.getInstance().createDummyElement();
        }

        @Override
        public void saveProperties(JpsDummyElement properties, Element additional) {}
    }

    /** Keeps the element that the loader hands to the type, its path macros expanded. */
    private static final class RunConfiguration
            extends JpsRunConfigurationPropertiesSerializer<JpsSimpleElement<Element>> {
        private static final class Type extends JpsElementTypeBase<JpsSimpleElement<Element>>
                implements JpsRunConfigurationType<JpsSimpleElement<Element>> {}

        RunConfiguration(String typeId) {
            super(new Type(), typeId);
        }

        @Override
        public JpsSimpleElement<Element> loadProperties(Element configuration) {
            return JpsElementFactory.getInstance().createSimpleElement(configuration.clone());
        }

        @Override
        public void saveProperties(JpsSimpleElement<Element> properties, Element configuration) {}
    }
}
